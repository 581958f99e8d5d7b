"""How many body bytes a fetcher may hold: those of running transfers, and of finished ones that nobody has taken."""

from __future__ import annotations

from typing import Generic, TypeVar

Holder = TypeVar("Holder")

# Of a picture on the web, until the running mean knows better (about 130 kB: img2dataset's README, 100 TB / 780 M).
_FIRST_GUESS_BYTES = 128 * 1024
_MEAN_OVER = 64  # bodies

_CHUNK_BYTES = 16 * 1024  # what libcurl hands over at a time


class ByteBudget(Generic[Holder]):
    """When it is spent transfers wait until somebody takes what is finished; if nothing is, the oldest one goes on.

    So memory is bounded by the limit and one body, and something always moves.

    Args:
      limit: bytes held by all together, but for the oldest transfer's.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: dict[Holder, int] = {}  # in order of arrival
        self._finished: dict[Holder, int] = {}
        self._refused: dict[Holder, None] = {}
        self._used = 0
        self._usual = float(_FIRST_GUESS_BYTES)

    @property
    def used(self) -> int:
        """Bytes that are held now."""
        return self._used

    def has_room(self) -> bool:
        """Whether one more may start: all that run, and it, will probably fit."""
        if self._used >= self._limit:
            return False
        still_to_come = max(0.0, (len(self._running) + 1) * self._usual - sum(self._running.values()))
        return not self._running or self._used + still_to_come <= self._limit

    def start(self, holder: Holder) -> None:
        """A transfer starts."""
        self._running[holder] = 0

    def take(self, holder: Holder, size: int) -> bool:
        """Whether a transfer may hold `size` bytes more; they are then counted."""
        if self._used + size > self._limit and not self._may_exceed(holder):
            self._refused[holder] = None
            return False
        self._running[holder] += size
        self._used += size
        return True

    def _may_exceed(self, holder: Holder) -> bool:
        # What is finished will be taken, and makes room; without it only the oldest can.
        return not self._finished and next(iter(self._running)) is holder

    def take_refused(self) -> list[Holder]:
        """Running transfers that were refused and may now ask again: as many as will probably get what they need.

        All of them would ask in vain, again and again, for each body that is taken.
        """
        chosen: list[Holder] = []
        room = self._limit - self._used
        for holder in list(self._refused):
            held = self._running.get(holder)
            if held is not None:
                need = max(self._usual - held, _CHUNK_BYTES)
                if need > room and not self._may_exceed(holder):
                    continue
                room -= need
                chosen.append(holder)
            del self._refused[holder]
        return chosen

    @property
    def has_refused(self) -> bool:
        """Whether a transfer waits for bytes."""
        return bool(self._refused)

    def finish(self, holder: Holder) -> None:
        """A transfer has its whole body, which is held until `leave`."""
        size = self._running.pop(holder)
        self._finished[holder] = size
        self._usual += (size - self._usual) / _MEAN_OVER

    def leave(self, holder: Holder) -> None:
        """Nothing of it is held here any more."""
        self._used -= self._running.pop(holder, 0) + self._finished.pop(holder, 0)
