"""What a sample or an earlier run has shown, without machines and prices: rows by stage, seconds and bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from beam_recap.costs import COSTED
from beam_recap.records import Outcome, Rejection, Sample, Stage

SPLIT_SIDE = 672  # px; the long side of pictures that cross from one pool of workers to another
# Of a JPEG at quality 95: a picture of 672 x 504 px, a usual one, has about 80 KB.
_JPEG_BYTES_PER_PIXEL = 0.24

Ratio = np.ndarray  # float64 [1 + draws]: the estimate, then one value for each draw of the bootstrap


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of files: ``fixed`` in each file, ``per_row`` for each of its rows."""

    fixed: float
    per_row: float

    def of(self, rows: np.ndarray | float, files: np.ndarray | float) -> np.ndarray:
        return np.asarray(self.fixed * files + self.per_row * rows)


@dataclass(frozen=True)
class Timing:
    """What rows took on this machine.

    Attributes:
      cpu_s: CPU seconds for each row, of all threads, whatever they were spent on.
      wall_s: seconds for each row, of a run with one process.
      startup_s: seconds that a run takes besides, from its command to its end.
      startup_cpu_s: CPU seconds of that.
      source: in words.
      is_here: it was one process on this machine; else only ``cpu_s`` means something.
    """

    cpu_s: float
    wall_s: float
    startup_s: float
    source: str
    startup_cpu_s: float = 0.0
    is_here: bool = True


@dataclass(frozen=True)
class Measurement:
    """Sums over rows, by groups of rows that are drawn together in the bootstrap.

    ``table`` is float64 [groups, columns]; its columns, by name in ``columns``: ``rows``, ``kept``, ``jpeg_bytes`` (of
    pictures that reach the captioner, shrunken), and for each stage ``into STAGE`` and ``seconds STAGE``.

    Attributes:
      repeats: how many equal groups each row of the table is the sum of, int64 [groups]; None: one.
      stages: in the order of the pipeline.
      curated: share of the rows kept until then that only the whole dataset rejects (duplicates), [0, 1].
      caption_rate: captions/s that were measured, and on which GPU (Compute Engine's name, or this machine's).
      caption_tokens: the mean; None where none were written.
      captions_ran_on: "cpu", "gpu", or None if no captions were written.
      image_bytes: of encoded pictures, for each row of the input; None if unknown.
      from_web: whether they are downloaded.
    """

    columns: tuple[str, ...]
    table: np.ndarray
    stages: tuple[str, ...]
    timing: Timing | None
    kept_bytes: Bytes | None
    rejected_bytes: Bytes | None
    checkpoint_bytes: Bytes | None
    embedding_bytes: float
    webdataset_bytes: float
    image_bytes: float | None
    from_web: bool
    makes_captions: bool
    curated: float = 0.0
    caption_rate: tuple[str, float] | None = None
    caption_tokens: float | None = None
    captions_ran_on: str | None = None
    by_place: bool = False
    repeats: np.ndarray | None = None
    remarks: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        return int(self.sum_of("rows"))

    def sum_of(self, column: str) -> float:
        """0 for a column that is not there."""
        return float(self.table[:, self.columns.index(column)].sum()) if column in self.columns else 0.0


def table_of(
    outcomes: Sequence[Outcome], stages: Sequence[str], group_of: Callable[[Sample], int], image_size: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """The columns and the table of a `Measurement`.

    Args:
      outcomes: of the sample's rows, before anything is curated.
      stages: in the order of the pipeline.
      group_of: a row's group, from 0.
      image_size: the long side, in px, to which pictures are shrunken before anything sees them.
    """
    columns = ("rows", "kept", "jpeg_bytes", *(f"{what} {stage}" for stage in stages for what in ("into", "seconds")))
    places = {name: number for number, name in enumerate(columns)}
    rows: dict[int, np.ndarray] = {}
    last = len(stages)
    for outcome in outcomes:
        sample = outcome.sample if isinstance(outcome, Rejection) else outcome
        row = rows.setdefault(group_of(sample), np.zeros(len(columns)))
        reached = stages.index(str(outcome.stage)) if isinstance(outcome, Rejection) else last
        row[places["rows"]] += 1
        row[places["kept"]] += reached == last
        for number, stage in enumerate(stages):
            row[places[f"into {stage}"]] += number <= reached
        for costed, seconds in zip(COSTED, sample.seconds or (), strict=False):
            if seconds is not None and f"seconds {costed}" in places:
                row[places[f"seconds {costed}"]] += seconds
        before = stages.index(str(Stage.CAPTION)) if str(Stage.CAPTION) in stages else last
        if reached >= before:
            row[places["jpeg_bytes"]] += _jpeg_bytes(sample, image_size)
    table = np.array([rows[group] for group in sorted(rows)]) if rows else np.zeros((0, len(columns)))
    return columns, table


def _jpeg_bytes(sample: Sample, image_size: int) -> float:
    if not sample.width or not sample.height:
        return 0.0
    longest = max(sample.width, sample.height)
    shrunken = min(1.0, min(image_size, SPLIT_SIDE) / longest)
    return _JPEG_BYTES_PER_PIXEL * sample.width * sample.height * shrunken**2


class Draws:
    """A measurement's sums as they are, and as they would be for other samples: a bootstrap over its groups.

    Where no row of the sample did something, the draws tell how many of all rows still might: they take the share from
    the Beta distribution that Jeffreys' prior gives it, instead of 0.
    """

    def __init__(self, measurement: Measurement, *, draws: int, seed: int):
        random = np.random.default_rng(seed)
        self._columns = measurement.columns
        groups = len(measurement.table)
        repeats = np.ones(groups, np.int64) if measurement.repeats is None else measurement.repeats
        total = int(repeats.sum())
        counts = random.multinomial(total, repeats / total, size=draws) / repeats if groups else np.zeros((draws, 0))
        weights = np.concatenate([np.ones((1, groups)), counts])
        self._sums = weights @ measurement.table
        rows = self._sums[:, self._columns.index("rows")]
        for name in self._columns:
            column = self._sums[:, self._columns.index(name)]
            if (name == "kept" or name.startswith("into ")) and not column[0]:
                column[1:] = random.beta(0.5, rows[0] + 0.5, size=draws) * rows[1:]

    def per_row(self, column: str) -> Ratio:
        """For each row of the input; 0 for a column that is not there."""
        rows = self._sums[:, self._columns.index("rows")]
        if column not in self._columns:
            return np.zeros(len(rows))
        return np.divide(self._sums[:, self._columns.index(column)], rows, out=np.zeros(len(rows)), where=rows > 0)


def interval(values: np.ndarray, confidence: float = 0.95) -> Mapping[str, float]:
    """The estimate and its percentile interval, of a `Ratio` or what was made of some."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values[1:], [tail, 100 - tail]) if len(values) > 1 else (values[0], values[0])
    # A percentile interval may miss the estimate where draws are few or skewed.
    return {"estimate": float(values[0]), "low": float(min(low, values[0])), "high": float(max(high, values[0]))}
