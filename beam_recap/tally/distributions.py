"""Histograms of scores and lengths, of kept and of rejected rows: whole numbers that add up in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_recap.records import Sample
from beam_recap.schema_columns import words

_MILLION = 1_000_000
_LARGEST = 1e9  # in a sum: what no score or length comes near, in millionths, fits into 64 bits
_COSINES = tuple(round(-1 + number / 50, 2) for number in range(101))
_SCORES = tuple(number / 4 for number in range(45))  # SAC+LOGOS+AVA1 give 1 to 10


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that rows are measured by.

    ``edges``, n + 1 of them, make n bins: ``edges[i] <= value < edges[i + 1]``. Smaller values are in the first bin,
    larger ones in the last.
    """

    name: str
    edges: tuple[float, ...]
    value: Callable[[Sample], float | None]


MEASURES = (
    Measure("similarity", _COSINES, lambda sample: sample.clip_score),
    Measure("recaption_similarity", _COSINES, lambda sample: sample.recaption_clip_score),
    Measure("aesthetic", _SCORES, lambda sample: sample.aesthetic_score),
    Measure("caption_words", tuple(range(202)), lambda sample: words(sample.caption)),
    Measure("recaption_words", tuple(range(202)), lambda sample: words(sample.recaption)),
    Measure("ocr_boxes", tuple(range(52)), lambda sample: sample.ocr_boxes),
)
SIDES = ("kept", "rejected")


class Histogram:
    """How the values of some rows are spread over bins.

    ``missing`` rows have no value, or none that is finite. ``millionths`` is the sum of the values, each as a whole
    number of millionths, so that it does not depend on the order.
    """

    __slots__ = ("_edges", "counts", "millionths", "missing")

    def __init__(self, edges: Sequence[float]):
        self._edges = np.asarray(edges, np.float64)
        self.counts = np.zeros(len(edges) - 1, np.int64)  # [bins]
        self.missing = 0
        self.millionths = 0

    @property
    def rows(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """Of the rows with a value, to six decimals."""
        return round(self.millionths / _MILLION / self.rows, 6) if self.rows else None

    def add(self, values: Sequence[float | None]) -> None:
        """Counts one value per row."""
        known = np.asarray([value for value in values if value is not None], np.float64)
        known = known[np.isfinite(known)]
        bins = np.searchsorted(self._edges, known, side="right") - 1
        last = len(self.counts) - 1
        self.counts += np.bincount(np.clip(bins, 0, last), minlength=last + 1)
        self.missing += len(values) - len(known)
        millionths = np.rint(np.clip(known, -_LARGEST, _LARGEST) * _MILLION).astype(np.int64)
        self.millionths += sum(millionths.tolist())

    def merge(self, other: Histogram) -> None:
        """Takes in another's rows; its edges are the same."""
        self.counts += other.counts
        self.missing += other.missing
        self.millionths += other.millionths

    def as_json(self) -> dict[str, Any]:
        """JSON values that `merge_json` takes."""
        return {"counts": self.counts.tolist(), "missing": self.missing, "millionths": self.millionths}

    def merge_json(self, value: dict[str, Any]) -> None:
        """Takes in the rows of what `as_json` gave."""
        self.counts += np.asarray(value["counts"], np.int64)
        self.missing += value["missing"]
        self.millionths += value["millionths"]

    def summary(self) -> dict[str, Any]:
        """For ``summary.json``."""
        return {"rows": self.rows, "missing": self.missing, "mean": self.mean, "counts": self.counts.tolist()}


class Distributions:
    """A histogram for each measure and side."""

    __slots__ = ("_histograms",)

    def __init__(self) -> None:
        self._histograms = {(measure.name, side): Histogram(measure.edges) for measure in MEASURES for side in SIDES}

    def add(self, side: str, samples: Sequence[Sample]) -> None:
        """Counts rows of one side."""
        for measure in MEASURES:
            self._histograms[measure.name, side].add([measure.value(sample) for sample in samples])

    def merge(self, other: Distributions) -> None:
        """Takes in another's rows."""
        for place, histogram in self._histograms.items():
            histogram.merge(other._histograms[place])

    def as_json(self) -> list[dict[str, Any]]:
        """JSON values that `of_json` takes."""
        return [histogram.as_json() for histogram in self._histograms.values()]

    @classmethod
    def of_json(cls, value: list[dict[str, Any]]) -> Distributions:
        """What `as_json` gave."""
        made = cls()
        for histogram, part in zip(made._histograms.values(), value, strict=True):
            histogram.merge_json(part)
        return made

    def summary(self) -> dict[str, Any]:
        """For ``summary.json``: edges and both sides by name."""
        return {
            measure.name: {
                "edges": list(measure.edges),
                **{side: self._histograms[measure.name, side].summary() for side in SIDES},
            }
            for measure in MEASURES
        }
