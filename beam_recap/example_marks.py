"""Which rows get a thumbnail: those that the report may show, as far as one process can tell."""

from __future__ import annotations

import dataclasses
import threading

from beam_recap.examples import PER_REASON, PICTURED, Lowest, rank_of
from beam_recap.images import encode_thumbnail
from beam_recap.records import Outcome, Reason, Rejection, Stage

THUMBNAIL_SIDE = 224  # px
# Four times as many as are shown, as curation takes some away.
_LOWEST_SIMILARITY = 48
_TRUNCATED = 48


class ExampleMarks:
    """Tells of each row whether it could be among those shown. For any number of threads.

    The lowest of all rows are among the lowest of any part of them, so each row that is shown in the end was marked,
    whichever processes saw which rows. Of n rows in random order, about k (1 + ln(n / k)) are marked for k shown ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Lowest[None] = Lowest(PICTURED)
        self._lowest_similarity: Lowest[None] = Lowest(_LOWEST_SIMILARITY)
        self._truncated: Lowest[None] = Lowest(_TRUNCATED)
        self._rejected: dict[tuple[Stage, Reason], Lowest[None]] = {}

    def take(self, outcome: Outcome) -> bool:
        """Whether the row is among the lowest so far of any group that it belongs to; remembers it there."""
        sample = outcome.sample if isinstance(outcome, Rejection) else outcome
        rank = rank_of(sample)
        with self._lock:
            if isinstance(outcome, Rejection):
                same = self._rejected.setdefault((outcome.stage, outcome.reason), Lowest(PER_REASON))
                groups: list[tuple[Lowest[None], tuple]] = [(same, rank)]
            else:
                groups = [(self._kept, rank)]
                if outcome.clip_score is not None:
                    groups.append((self._lowest_similarity, (outcome.clip_score, *rank)))
                if outcome.recaption_truncated:
                    groups.append((self._truncated, rank))
            takers = [(group, key) for group, key in groups if group.takes(key)]
            for group, key in takers:
                group.put(key, None)
        return bool(takers)


def without_pixels(outcome: Outcome, marks: ExampleMarks) -> Outcome:
    """The row as the checkpoint keeps it: without its pixels, but with a thumbnail where the report may show it."""
    sample = outcome.sample if isinstance(outcome, Rejection) else outcome
    thumbnail = sample.thumbnail
    if sample.image is not None and marks.take(outcome):
        thumbnail = encode_thumbnail(sample.image, THUMBNAIL_SIDE)
    elif isinstance(outcome, Rejection) and sample.image is None:
        return outcome  # nothing to drop
    slim = dataclasses.replace(sample, image=None, image_embedding=None, thumbnail=thumbnail)
    return dataclasses.replace(outcome, sample=slim) if isinstance(outcome, Rejection) else slim
