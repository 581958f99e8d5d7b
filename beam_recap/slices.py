"""A slice: the stable n-th part of an input that one of several jobs does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beam_recap.inputs.units import Unit

MOST_SLICES = 10_000


@dataclass(frozen=True, slots=True)
class Slice:
    """Part ``number`` of ``total``, from 1. The parts of one total have no row in common, and together all rows."""

    number: int
    total: int

    @property
    def tag(self) -> str:
        """For names of files."""
        return f"slice-{self.number:05d}-of-{self.total:05d}"

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def holds(self, unit: Unit) -> bool:
        """Whether a unit is this slice's: they are dealt out in turn, so that slices are nearly equal."""
        return (unit.shard_number + unit.number) % self.total == self.number % self.total


def parse_slice(text: str) -> Slice:
    """Reads ``I/N``. 0/N is the same as N/N, for those who count from 0.

    Raises:
      ValueError: it is none; the message ends a sentence that begins with the text.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise ValueError("is not I/N; give for example 3/10, the third of ten slices")
    number, total = map(int, found.groups())
    if not 1 <= total <= MOST_SLICES:
        raise ValueError(f"asks for {total} slices; give a number from 1 to {MOST_SLICES}")
    if number > total:
        raise ValueError(f"is beyond the last slice; give 1/{total} to {total}/{total}")
    return Slice(number or total, total)
