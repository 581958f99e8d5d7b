"""How many body bytes a fetcher may hold: those of running transfers, and of finished ones that nobody has taken."""

from __future__ import annotations

from typing import Generic, TypeVar

Holder = TypeVar("Holder")

# Of a picture on the web, until the running mean knows better (about 130 kB: img2dataset's README, 100 TB / 780 M).
_FIRST_GUESS_BYTES = 128 * 1024
_MEAN_OVER = 64  # bodies


class ByteBudget(Generic[Holder]):
    """Memory is bounded by the limit and one body, and something always moves.

    Each transfer that starts reserves what a body usually takes. Larger ones wait for room, which goes to them before
    it goes to new ones. When the budget is spent transfers wait until somebody takes what is finished; if nothing is,
    the oldest one goes on.

    Args:
      limit: bytes held by all together, but for the oldest transfer's.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: dict[Holder, int] = {}  # bytes held, in order of arrival
        self._reserved: dict[Holder, int] = {}  # bytes that a running one may still take
        self._finished: dict[Holder, int] = {}
        self._refused: dict[Holder, None] = {}
        self._used = 0
        self._to_come = 0  # the sum of what is reserved
        self._usual = float(_FIRST_GUESS_BYTES)

    @property
    def used(self) -> int:
        """Bytes that are held now."""
        return self._used

    @property
    def has_refused(self) -> bool:
        """Whether a transfer waits for bytes."""
        return bool(self._refused)

    def has_room(self) -> bool:
        """Whether one more may start."""
        if self._refused or self._used >= self._limit:
            return False
        return not self._running or self._used + self._to_come + self._usual <= self._limit

    def start(self, holder: Holder) -> None:
        """A transfer starts."""
        self._running[holder] = 0
        self._reserve(holder)

    def take(self, holder: Holder, size: int) -> bool:
        """Whether a transfer may hold `size` bytes more; they are then counted."""
        reserved = self._reserved.get(holder, 0)
        beyond = max(0, size - reserved)
        # The second part leaves others what they have reserved.
        fits = self._used + size <= self._limit and (not beyond or self._used + self._to_come + beyond <= self._limit)
        if not fits and not self._may_exceed(holder):
            self._refused[holder] = None
            self._to_come -= self._reserved.pop(holder, 0)  # reserved anew when it may ask again
            return False
        self._reserved[holder] = max(0, reserved - size)
        self._to_come -= min(size, reserved)
        self._running[holder] += size
        self._used += size
        return True

    def take_refused(self) -> list[Holder]:
        """Running transfers that were refused and may now ask again: as many as will probably get something.

        If all of them asked for each body that is taken, they would do so in vain, again and again.
        """
        if not self._refused:
            return []
        chosen = [holder for holder in (next(iter(self._running)),) if holder in self._refused and not self._finished]
        for holder in self._refused:
            if self._used + self._to_come + self._usual > self._limit:
                break
            if holder not in chosen:
                chosen.append(holder)
                self._reserve(holder)
        for holder in chosen:
            del self._refused[holder]
        return chosen

    def finish(self, holder: Holder) -> None:
        """A transfer has its whole body, which is held until `leave`."""
        size = self._stop(holder)
        self._finished[holder] = size
        self._usual += (size - self._usual) / _MEAN_OVER

    def leave(self, holder: Holder) -> None:
        """Nothing of it is held here any more."""
        self._used -= self._stop(holder) + self._finished.pop(holder, 0)

    def _may_exceed(self, holder: Holder) -> bool:
        # What is finished will be taken, and makes room; without it only the oldest can.
        return not self._finished and next(iter(self._running)) is holder

    def _reserve(self, holder: Holder) -> None:
        reserved = self._reserved.get(holder, 0)
        self._reserved[holder] = max(reserved, int(self._usual))
        self._to_come += self._reserved[holder] - reserved

    def _stop(self, holder: Holder) -> int:
        """Bytes that a transfer held when it stopped running; 0 if it did not run."""
        self._to_come -= self._reserved.pop(holder, 0)
        self._refused.pop(holder, None)
        return self._running.pop(holder, 0)
