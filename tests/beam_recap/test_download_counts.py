from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.download_counts import (
    NO_HOST,
    DownloadCounter,
    DownloadCounts,
    RankedHosts,
    by_failures,
    failed_rows,
    host_of,
    merge_host_counts,
)
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage

BARE = Sample(unit="u", index=0, uid="x", key="k")


def row(url: str | None, http_status: int | None = None, download_bytes: int | None = None) -> Sample:
    return dataclasses.replace(BARE, url=url, http_status=http_status, download_bytes=download_bytes)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.com/a.jpg", "example.com"),
        ("HTTPS://WWW.Example.COM:8443/a.jpg?x=http://other/", "www.example.com"),
        (" http://example.com./a.jpg\n", "example.com"),
        ("http://user:secret@example.com/a.jpg", "example.com"),
        ("http://my_host.example.com", "my_host.example.com"),
        ("http://bücher.example/a.jpg", "xn--bcher-kva.example"),
        ("http://２１３０７０６４３３/", "2130706433"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://[2001:DB8::1]:80/a.jpg", "[2001:db8::1]"),
        ("http://[::ffff:127.0.0.1]/", "[::ffff:127.0.0.1]"),
        ("", None),
        ("nonsense", None),
        ("http://", None),
        ("http:///a.jpg", None),
        ("//example.com/a.jpg", None),
        ("ftp://example.com/a.jpg", None),
        ("file:///etc/passwd", None),
        ("gs://bucket/a.jpg", None),
        ("http://[::1/", None),
        ("http://<script>alert(1)</script>/", None),
        ("http://exa mple.com/", None),
        ("http://a..b/", None),
        ("http://evil.example\\@good.example/", None),
        ("http://" + "a" * 64 + ".example/", None),
        ("http://" + ".".join(["abcdefgh"] * 40) + "/", None),
        ("http://" + "ü" * 100_000 + "/", None),
        ("http://\udcff.example/", None),
        ("http://a\u202eb.example/", None),
    ],
)
def test_the_host_of_a_url(url: str, host: str | None) -> None:
    assert host_of(url) == host


@given(st.text() | st.text().map(lambda text: f"http://{text}/a.jpg"))
def test_any_text_has_a_plain_host_or_none(url: str) -> None:
    host = host_of(url)
    assert host is None or (host.isascii() and host == host.lower() and 0 < len(host) <= 253 and host != NO_HOST)
    assert host is None or not set(host) & set("<>&\"' /\\@")


def counted(*outcomes: Outcome) -> DownloadCounter:
    counter = DownloadCounter()
    for outcome in outcomes:
        counter.add(outcome)
    return counter


def test_a_fetched_row() -> None:
    for outcome in (row("http://a/1", 200), row("http://a/1", 200).reject(Stage.OCR, Reason.HAS_TEXT)):
        counter = counted(outcome)
        counts = counter.counts
        assert (counts.rows, counts.fetched, counts.by_http_status) == (1, 1, {200: 1})
        assert not counts.by_reason
        assert counter.by_host == {"a": {"fetched": 1}}


def test_a_failed_row() -> None:
    counter = counted(
        row("http://a/1").reject(Stage.FETCH, Reason.TIMEOUT),
        row("http://a/2", 200).reject(Stage.FETCH, Reason.CORRUPT),
        row("::", None).reject(Stage.FETCH, Reason.INVALID_URL),
    )
    counts = counter.counts
    assert (counts.rows, counts.fetched) == (3, 0)
    assert counts.by_http_status == {None: 2, 200: 1}
    assert counts.by_reason == {"timeout": 1, "corrupt": 1, "invalid_url": 1}
    assert counter.by_host == {"a": {"timeout": 1, "corrupt": 1}, NO_HOST: {"invalid_url": 1}}


@pytest.mark.parametrize(
    "outcome",
    [
        row(None),
        row(None).reject(Stage.FETCH, Reason.MISSING_URL),
        row("http://a/1").reject(Stage.READ, Reason.TOO_LARGE),
        row("http://a/1"),
        row("http://a/1").reject(Stage.CLIP, Reason.LOW_CLIP_SCORE),
        row("http://a/1").reject(Stage.FETCH, Reason.CORRUPT),
        row("http://a/1").reject(Stage.FETCH, Reason.HASH_MISMATCH),
    ],
)
def test_what_came_with_its_bytes_or_was_not_read_is_no_download(outcome: Outcome) -> None:
    counter = counted(outcome)
    assert counter.counts == DownloadCounts()
    assert not counter.by_host


def test_counts_add_up_in_any_order() -> None:
    rng = random.Random(7)
    outcomes: list[Outcome] = []
    for number in range(200):
        status = rng.choice([None, 200, 404])
        size = rng.randrange(10**6) if status == 200 else None
        sample = row(f"http://h{rng.randrange(9)}/{number}", status, size)
        failed = sample.http_status != 200 or rng.random() < 0.2
        reasons = [Reason.DNS, Reason.TIMEOUT] if sample.http_status is None else [Reason.CORRUPT, Reason.HTTP_404]
        outcomes.append(sample.reject(Stage.FETCH, rng.choice(reasons)) if failed else sample)
    whole = counted(*outcomes)
    rng.shuffle(outcomes)
    parts = [counted(*outcomes[start : start + 30]) for start in range(0, 200, 30)]
    total = sum((part.counts for part in parts), DownloadCounts())
    assert total == whole.counts
    assert (total.rows, total.fetched + total.by_reason.total()) == (200, 200)
    samples = [outcome.sample if isinstance(outcome, Rejection) else outcome for outcome in outcomes]
    assert total.bytes == sum(sample.download_bytes or 0 for sample in samples) > 0
    merged: dict[str, dict[str, int]] = {}
    for part in parts:
        for host, counts in part.by_host.items():
            merge_host_counts(merged.setdefault(host, {}), counts)
    assert merged == whole.by_host


def test_hosts_are_ranked_by_failures_then_by_name() -> None:
    hosts = [("b", {"dns": 2}), ("a", {"dns": 1, "tls": 1}), ("d", {"fetched": 9}), ("c", {"dns": 3, "fetched": 5})]
    assert [name for name, _ in sorted(hosts, key=by_failures)] == ["c", "a", "b", "d"]
    assert [failed_rows(counts) for _, counts in hosts] == [2, 2, 0, 3]


def test_hosts_are_ranked_by_rows_too() -> None:
    hosts = [("b", {"dns": 2}), ("a", {"dns": 1, "fetched": 1}), ("d", {"fetched": 9}), ("c", {"fetched": 1})]
    ranked = RankedHosts.of(hosts, failing=1, most=3)
    assert [name for name, _ in ranked.by_failures] == ["b"]
    assert [name for name, _ in ranked.by_rows] == ["d", "a", "b"]
    assert ranked.hosts() == {name: counts for name, counts in hosts if name != "c"}
