from __future__ import annotations

import random
from collections import Counter

from support.collected import run_and_collect

from beam_recap.download_counts import RankedHosts
from transforms.rank_hosts import RankHosts


def test_ranking_is_exact_whatever_the_order() -> None:
    rng = random.Random(3)
    parts: list[tuple[str, dict[str, int]]] = []
    failures: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for _ in range(2000):
        host = f"h{min(rng.randrange(400), rng.randrange(400))}.example"
        counts = {reason: rng.randrange(1, 4) for reason in ("fetched", "dns", "http_404") if rng.random() < 0.5}
        parts.append((host, counts))
        rows[host] += sum(counts.values())
        failures[host] += sum(count for reason, count in counts.items() if reason != "fetched")
    failing = sorted(failures, key=lambda host: (-failures[host], host))[:20]
    largest = sorted(rows, key=lambda host: (-rows[host], host))[:40]
    for _ in range(2):
        rng.shuffle(parts)
        (found,) = run_and_collect(parts, RankHosts(20, 40))
        for ranked, expected in ((found.by_failures, failing), (found.by_rows, largest)):
            assert [host for host, _ in ranked] == expected
            assert [sum(counts.values()) for _, counts in ranked] == [rows[host] for host in expected]


def test_names_decide_between_equals() -> None:
    parts = [(f"h{number}", {"dns": 1}) for number in (3, 1, 2, 0, 4)]
    (found,) = run_and_collect(parts, RankHosts(failing=3, most=1))
    assert found.by_failures == (("h0", {"dns": 1}), ("h1", {"dns": 1}), ("h2", {"dns": 1}))
    assert found.by_rows == (("h0", {"dns": 1}),)


def test_hosts_without_a_failure_are_ranked_by_rows_only() -> None:
    hosts = [("a", {"fetched": 5}), ("b", {"fetched": 1, "tls": 1})]
    assert run_and_collect(hosts, RankHosts()) == [RankedHosts((hosts[1],), tuple(hosts))]


def test_no_hosts_is_an_empty_ranking() -> None:
    assert run_and_collect([], RankHosts()) == [RankedHosts()]
