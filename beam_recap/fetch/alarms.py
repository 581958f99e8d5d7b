"""Many names that each wait for a moment: whose moment is next, and whose has come."""

from __future__ import annotations

import heapq
import math

# Entries of the heap that no longer count may outnumber those that do by this many, so that few alarms are not sorted
# again and again.
_SPARE_ENTRIES = 64


class Alarms:
    """One alarm per name, in a heap. O(log n) per call on average."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # an entry counts if `_at` agrees

    def __len__(self) -> int:
        return len(self._at)

    def set(self, name: str, when: float) -> None:
        """Sets the alarm of a name, instead of the one it had."""
        if self._at.get(name) != when:
            self._at[name] = when
            heapq.heappush(self._heap, (when, name))
            self._tidy()

    def clear(self, name: str) -> None:
        """Takes the alarm of a name back, if there is one."""
        if self._at.pop(name, None) is not None:
            self._tidy()

    def first(self) -> float:
        """When the next alarm is due; infinity if there is none."""
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def ring(self, now: float) -> str | None:
        """A name whose alarm is due, which is thereby over; None if none is due."""
        if self.first() > now or not self._heap:
            return None
        name = heapq.heappop(self._heap)[1]
        del self._at[name]
        return name

    def _counts(self, entry: tuple[float, str]) -> bool:
        return self._at.get(entry[1]) == entry[0]

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._at) + _SPARE_ENTRIES:
            self._heap = [(when, name) for name, when in self._at.items()]
            heapq.heapify(self._heap)
