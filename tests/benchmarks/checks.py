"""What a benchmark promises of its numbers, and how it says whether they keep it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A number and its limit.

    Attributes:
      name: what the number is.
      value: what was measured.
      limit: the last value that will do.
      at_least: whether the limit is the smallest such value; else it is the largest.
    """

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the value is within its limit; a value that is no number never is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        return f"{self.name} {self.value:.3g} ({bound} {self.limit:g}: {'ok' if self.holds else 'FAILED'})"


def report(name: str, checks: Sequence[Check], details: str) -> int:
    """Prints the one line of a benchmark. Returns its exit status: 1 if a check fails."""
    print(f"{name}: {', '.join(map(str, checks))}; {details}", flush=True)
    return 0 if all(check.holds for check in checks) else 1
