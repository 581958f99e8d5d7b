"""Counts of the most frequent of any number of things, in bounded memory."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


class HeavyHitters:
    """A Misra-Gries summary: counts that are never too high, and too low by at most ``undercount``.

    While no more different things were seen than ``capacity``, every count is exact and ``undercount`` is 0. Once there
    are more, the counts are cut to the larger half, all by the count of the first that goes. Of n things seen,
    ``undercount`` is at most 2 n / capacity, also after any number of merges. Source: Agarwal et al., Mergeable
    Summaries (PODS 2012), section 3.

    Args:
      capacity: the most counts that are kept.
    """

    __slots__ = ("_capacity", "_counts", "undercount")

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._counts: Counter[str] = Counter()
        self.undercount = 0

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, things: Iterable[str] | Mapping[str, int]) -> None:
        """Counts things, or adds their counts. Give no more at once than fit in memory: any are cut only afterwards."""
        self._counts.update(things)
        self._cut()

    def merge(self, other: HeavyHitters) -> None:
        """Takes in what another summary of the same capacity has counted."""
        self._counts.update(other._counts)
        self.undercount += other.undercount
        self._cut()

    def most_frequent(self, number: int, at_least: int = 1) -> list[tuple[str, int]]:
        """The things of the highest counts, the most frequent first, and equal ones in their own order."""
        frequent = ((thing, count) for thing, count in self._counts.items() if count >= at_least)
        return heapq.nsmallest(number, frequent, key=lambda item: (-item[1], item[0]))

    def _cut(self) -> None:
        if len(self._counts) <= self._capacity:
            return
        cut = heapq.nlargest(self._capacity // 2 + 1, self._counts.values())[-1]
        self._counts = Counter({thing: count - cut for thing, count in self._counts.items() if count > cut})
        self.undercount += cut

    def as_json(self) -> dict[str, Any]:
        """JSON values that `of_json` takes."""
        return {"counts": dict(self._counts), "undercount": self.undercount}

    @classmethod
    def of_json(cls, value: dict[str, Any], capacity: int) -> HeavyHitters:
        """What `as_json` gave."""
        made = cls(capacity)
        made._counts.update(value["counts"])
        made.undercount = value["undercount"]
        return made
