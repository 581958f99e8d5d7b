"""Which rows the report shows: chosen by a hash of their uid, so that runs of the same rows show the same ones."""

from __future__ import annotations

import dataclasses
import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from beam_recap.tally.captions import MAX_CAPTION_CHARS, caption_key

KEPT = 60
REJECTED = 64  # of all reasons
PER_REASON = 8
LOWEST_SIMILARITY = 12
TRUNCATED = 12
REPEATED = 6
# More than are shown: from them come the rows of repeated captions, and curation takes some away.
PICTURED = 256

Rank = tuple[int, str, int]  # (hash, unit, index); the lowest are shown
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ChosenExamples:
    """Rows to show, each group with the lowest hash first. ``thumbnail`` is a JPEG, or None."""

    kept: tuple[Sample, ...] = ()
    rejected: tuple[Rejection, ...] = ()  # of each (stage, reason) some
    lowest_similarity: tuple[Sample, ...] = ()  # the lowest cosine first
    truncated: tuple[Sample, ...] = ()
    repeated: tuple[Sample, ...] = ()  # one for each of the most frequent new captions; some may be missing


def rank_of(sample: Sample) -> Rank:
    """What rows are picked by: a digest of their uid, of equal ones the place."""
    digest = hashlib.blake2b(sample.uid.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big"), sample.unit, sample.index


class Lowest(Generic[Value]):
    """The values of the lowest keys of those that were put in. Keys can be compared; equal ones are one.

    Args:
      size: how many at most.
    """

    __slots__ = ("_keys", "_size", "_values")

    def __init__(self, size: int):
        self._size = size
        self._keys: list[Any] = []  # sorted
        self._values: dict[Any, Value] = {}

    def __iter__(self) -> Iterator[Value]:
        """The values by their keys, the lowest first."""
        return (self._values[key] for key in self._keys)

    def takes(self, key: Any) -> bool:
        """Whether `put` would keep a value of this key."""
        return len(self._keys) < self._size or key <= self._keys[-1]

    def put(self, key: Any, value: Value) -> None:
        """Keeps the value if its key is among the lowest so far; of equal keys the first value stays."""
        if not self.takes(key) or key in self._values:
            return
        self._keys.insert(bisect_left(self._keys, key), key)
        self._values[key] = value
        if len(self._keys) > self._size:
            del self._values[self._keys.pop()]

    def merge(self, other: Lowest[Value]) -> None:
        """Puts in what another holds."""
        for key in other._keys:
            self.put(key, other._values[key])


class Examples:
    """The rows that may be shown, of those that were offered. What is chosen depends neither on order nor on merges."""

    __slots__ = ("_kept", "_lowest_similarity", "_pictured", "_rejected", "_truncated")

    def __init__(self) -> None:
        self._kept: Lowest[Sample] = Lowest(KEPT)
        self._pictured: Lowest[Sample] = Lowest(PICTURED)
        self._lowest_similarity: Lowest[Sample] = Lowest(LOWEST_SIMILARITY)
        self._truncated: Lowest[Sample] = Lowest(TRUNCATED)
        self._rejected: dict[tuple[Stage, Reason], Lowest[Rejection]] = {}

    def offer(self, outcome: Outcome) -> None:
        """Looks at a row."""
        if isinstance(outcome, Rejection):
            rank = rank_of(outcome.sample)
            same = self._rejected.setdefault((outcome.stage, outcome.reason), Lowest(PER_REASON))
            if same.takes(rank):
                same.put(rank, dataclasses.replace(outcome, sample=_slim(outcome.sample)))
            return
        rank = rank_of(outcome)
        groups: list[tuple[Lowest[Sample], Any]] = [(self._kept, rank)]
        if outcome.thumbnail is not None:
            groups.append((self._pictured, rank))
        if outcome.clip_score is not None:
            groups.append((self._lowest_similarity, (outcome.clip_score, *rank)))
        if outcome.recaption_truncated:
            groups.append((self._truncated, rank))
        takers = [(group, key) for group, key in groups if group.takes(key)]
        if takers:
            slim = _slim(outcome)
            for group, key in takers:
                group.put(key, slim)

    def merge(self, other: Examples) -> None:
        """Takes in the rows of another, and leaves it as it is."""
        for ours, theirs in zip(self._groups(), other._groups(), strict=True):
            ours.merge(theirs)
        for reason, rejections in other._rejected.items():
            self._rejected.setdefault(reason, Lowest(PER_REASON)).merge(rejections)

    def rows(self) -> list[Outcome]:
        """All rows that may be shown, each once. Offered to another one, they make it choose the same."""
        kept = {(sample.unit, sample.index): sample for group in self._groups() for sample in group}
        return [*kept.values(), *(rejection for same in self._rejected.values() for rejection in same)]

    def chosen(self, repeated_captions: Sequence[str] = ()) -> ChosenExamples:
        """The rows to show.

        Args:
          repeated_captions: the `caption_key` of new captions that many rows share, the most frequent first.
        """
        by_caption: dict[str, Sample] = {}
        for sample in self._pictured:
            if sample.recaption is not None:
                by_caption.setdefault(caption_key(sample.recaption), sample)
        repeated = (by_caption.get(key) for key in repeated_captions[:REPEATED])
        return ChosenExamples(
            kept=tuple(self._kept),
            rejected=self._chosen_rejections(),
            lowest_similarity=tuple(self._lowest_similarity),
            truncated=tuple(self._truncated),
            repeated=tuple(sample for sample in repeated if sample is not None),
        )

    def _chosen_rejections(self) -> tuple[Rejection, ...]:
        ranked = [
            (round_, rank_of(rejection.sample), rejection)
            for same in self._rejected.values()
            for round_, rejection in enumerate(same)
        ]
        # The first of each reason, then the second of each: no reason crowds out another.
        ranked.sort(key=lambda one: one[:2])
        return tuple(rejection for _, _, rejection in sorted(ranked[:REJECTED], key=lambda one: one[1]))

    def _groups(self) -> tuple[Lowest[Sample], ...]:
        return self._kept, self._pictured, self._lowest_similarity, self._truncated


def _slim(sample: Sample) -> Sample:
    """The row without what a page has no use for or what differs from run to run, its texts bounded."""
    return dataclasses.replace(
        sample,
        picture=None,
        embedding=None,
        exif=None,
        seconds=None,
        url=_bounded(sample.url),
        caption=_bounded(sample.caption),
        recaption=_bounded(sample.recaption),
        ocr_text=_bounded(sample.ocr_text),
    )


def _bounded(text: str | None) -> str | None:
    return None if text is None else text[:MAX_CAPTION_CHARS]
