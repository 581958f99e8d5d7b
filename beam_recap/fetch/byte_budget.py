"""How many body bytes all running transfers may hold together."""

from __future__ import annotations

from typing import Generic, TypeVar

Holder = TypeVar("Holder")


class ByteBudget(Generic[Holder]):
    """When it is spent only the oldest transfer goes on: memory is bounded and something always moves.

    Args:
      limit: bytes held by all together, but for the oldest one's.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Holder, int] = {}  # in order of arrival
        self._used = 0

    @property
    def is_spent(self) -> bool:
        """Whether nothing new should start."""
        return self._used >= self._limit

    def join(self, holder: Holder) -> None:
        """A transfer starts."""
        self._held[holder] = 0

    def take(self, holder: Holder, size: int) -> bool:
        """Whether a transfer may hold `size` bytes more; they are then counted."""
        if self._used + size > self._limit and next(iter(self._held)) is not holder:
            return False
        self._held[holder] += size
        self._used += size
        return True

    def leave(self, holder: Holder) -> None:
        """A transfer has ended, and its bytes are somebody else's."""
        self._used -= self._held.pop(holder, 0)

    def holders(self) -> list[Holder]:
        """The running transfers, the oldest first."""
        return list(self._held)
