"""All rules over rows that fit into memory: what `Deduplicate` does over any number of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from beam_recap.duplicates.near import near_duplicates
from beam_recap.duplicates.rows import Decision, DuplicateRow, Place, distinct
from beam_recap.duplicates.rules import Rule, rules_of
from beam_recap.duplicates.settings import DuplicateSettings


def find_duplicates(rows: Iterable[DuplicateRow], settings: DuplicateSettings) -> list[Decision]:
    """The rows that go, by place. The result depends on the set of rows alone.

    Raises:
      ValueError: embeddings that `near_duplicates` does not take.
    """
    left = distinct(rows)
    decisions: dict[Place, Decision] = {}
    for rule in rules_of(settings):
        _apply(rule, left, decisions)
    if settings.similarity is not None:
        clusters: dict[int | None, list[DuplicateRow]] = defaultdict(list)
        for row in left:
            if row.place not in decisions:
                clusters[row.cluster].append(row)
        for cluster in clusters.values():
            decisions.update((one.place, one) for one in near_duplicates(cluster, settings.similarity))
    return [decisions[place] for place in sorted(decisions)]


def _apply(rule: Rule, rows: list[DuplicateRow], decisions: dict[Place, Decision]) -> None:
    groups: dict[bytes, list[DuplicateRow]] = defaultdict(list)
    for row in rows:
        key = rule.key(row)
        if key is not None and (rule.counts_decided or row.place not in decisions):
            groups[key].append(row)
    for group in groups.values():
        verdict = rule.judge(group)
        if verdict is None:
            continue
        for row in group:
            if (decision := verdict(row)) is not None:
                decisions.setdefault(row.place, decision)
