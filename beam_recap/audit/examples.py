"""The rows whose captions repeat most of what is written in their pictures."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from beam_recap.audit.observation import Observation
from beam_recap.audit.tally import digest_number

MAX_EXAMPLES = 64
MAX_TEXT_CHARS = 1000

Rank = tuple[float, int, int, str]


@dataclass(frozen=True, slots=True)
class Example:
    """A row to show. ``rank`` orders them, the largest first, the same way everywhere.

    ``thumbnail`` is a JPEG, None where there was no picture to read.
    """

    rank: Rank
    caption: str
    ocr_text: str
    strict: float | None
    normalised: float
    fuzzy: float
    thumbnail: bytes | None = None


def example_of(row: Observation) -> Example | None:
    """The row as an example; None where the caption repeats nothing.

    The higher rate comes first, then the one of more common words.
    """
    if row.finding is None or not row.finding.has_text or row.caption is None:
        return None
    overlap = row.finding.overlap
    rates = overlap.rates
    if rates.normalised is None or rates.fuzzy is None or not rates.fuzzy > 0:
        return None
    common = round(rates.normalised * overlap.words)
    return Example(
        rank=(rates.normalised, common, digest_number(row.row_id), row.row_id),
        caption=row.caption[:MAX_TEXT_CHARS],
        ocr_text=row.finding.ocr_text[:MAX_TEXT_CHARS],
        strict=rates.strict,
        normalised=rates.normalised,
        fuzzy=rates.fuzzy,
    )


class BestSoFar:
    """Tells which rows could still be among the best, so that only these need a thumbnail."""

    def __init__(self, size: int = MAX_EXAMPLES):
        self._size = size
        self._ranks: list[Rank] = []

    def takes(self, rank: Rank) -> bool:
        """Whether the rank is among the best that were offered so far; remembers it."""
        if len(self._ranks) < self._size:
            heapq.heappush(self._ranks, rank)
            return True
        return heapq.heappushpop(self._ranks, rank) < rank
