"""Waiting requests, by host: each host gets its turn, and at most so many places at once."""

from __future__ import annotations

from collections import Counter, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class HostQueue(Generic[Item]):
    """Hosts take turns; within a host first come, first served.

    Args:
      limit: items of one host that may be out (popped and not yet released) at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[str, deque[Item]] = {}
        self._out: Counter[str] = Counter()
        self._turns: deque[str] = deque()  # hosts with something waiting and a free place
        self._in_turns: set[str] = set()

    def push(self, host: str, item: Item, *, first: bool = False) -> None:
        """Adds an item, at the end of its host's line or (`first`) at its head."""
        line = self._waiting.setdefault(host, deque())
        if first:
            line.appendleft(item)
        else:
            line.append(item)
        self._offer_turn(host, first=first)

    def pop(self) -> tuple[str, Item] | None:
        """The next item whose host has a free place, which it takes; None if there is none."""
        if not self._turns:
            return None
        host = self._turns.popleft()
        self._in_turns.discard(host)
        line = self._waiting[host]
        item = line.popleft()
        if not line:
            del self._waiting[host]
        self._out[host] += 1
        self._offer_turn(host)
        return host, item

    def release(self, host: str) -> None:
        """Gives a place back."""
        self._out[host] -= 1
        if self._out[host] <= 0:
            del self._out[host]
        self._offer_turn(host)

    def _offer_turn(self, host: str, *, first: bool = False) -> None:
        if host in self._waiting and host not in self._in_turns and self._out[host] < self._limit:
            self._in_turns.add(host)
            if first:
                self._turns.appendleft(host)
            else:
                self._turns.append(host)
