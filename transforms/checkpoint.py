"""`Checkpoint`: outcomes become small files of their unit while the run goes on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_recap import checkpoint
from beam_recap.example_marks import ExampleMarks, without_pixels
from beam_recap.outcome_buffer import OutcomeBuffer
from beam_recap.progress import PROGRESS
from beam_recap.records import Outcome, Rejection, Sample
from transforms.metrics import CostCounter
from transforms.shared_models import shared_model

NAMESPACE = "Checkpoint"
FLUSH_ROWS = 500
FLUSH_SECONDS = 20.0


class CheckpointedRows(NamedTuple):
    """What comes after waits for: all units' counts, and all of the checkpoint's files."""

    units: beam.PCollection
    files: beam.PCollection


class Checkpoint(beam.PTransform):
    """Writes outcomes to the run's checkpoint.

    Each input has a writer of its own: a Flatten in front of one writer would end the fused stage, and nothing would be
    written before everything is done. All writers of a process share one `OutcomeBuffer`.

    Here, where a row's outcome is known and its pixels are still there, the rows that the report may show get their
    thumbnails (`ExampleMarks`).

    Input: a mapping of labels to PCollections of `Sample` or `Rejection`. Output: the written files' paths (`str`).

    Args:
      output: the run's directory.
      attempt: the number of this run of the same config; later attempts win.
      flush_rows: outcomes that a process holds at most.
      flush_seconds: the longest time, in seconds, that it holds one.
      keep_pictures: kept rows come with ``image_bytes`` (`EncodePicture`), which are written too.

    Metrics: ``kept_rows``, ``rejected_rows``, ``files``; ``<stage>_rows`` and ``<stage>_ms`` (rows that went through a
    stage, and milliseconds of a worker's thread that they took there) for each of `costs.COSTED`.
    """

    def __init__(
        self,
        output: str,
        attempt: int,
        *,
        flush_rows: int = FLUSH_ROWS,
        flush_seconds: float = FLUSH_SECONDS,
        keep_pictures: bool = False,
    ):
        super().__init__()
        self._settings = (output, attempt, flush_rows, flush_seconds)
        self._keep_pictures = keep_pictures

    def expand(self, outcomes: Mapping[str, beam.PCollection]) -> beam.PCollection:
        settings = (*self._settings, self._keep_pictures)
        written = [
            rows | f"Write{label}" >> beam.ParDo(_WriteOutcomesFn(*settings)).with_output_types(str)
            for label, rows in outcomes.items()
        ]
        return written | "Files" >> beam.Flatten()


class _WriteOutcomesFn(beam.DoFn):
    def __init__(self, output: str, attempt: int, flush_rows: int, flush_seconds: float, keep_pictures: bool):
        self._settings = (output, attempt, flush_rows, flush_seconds)
        self._keep_pictures = keep_pictures
        self._kept = Metrics.counter(NAMESPACE, "kept_rows")
        self._rejected = Metrics.counter(NAMESPACE, "rejected_rows")
        self._files = Metrics.counter(NAMESPACE, "files")
        self._costs = CostCounter(NAMESPACE)

    def setup(self) -> None:
        output, attempt, flush_rows, flush_seconds = self._settings
        self._marks = shared_model(("example marks", self._settings), ExampleMarks)
        self._buffer = shared_model(
            ("outcomes", self._settings),
            lambda: OutcomeBuffer(
                lambda outcomes: checkpoint.write_outcomes(output, attempt, outcomes),
                flush_rows=flush_rows,
                flush_seconds=flush_seconds,
            ),
        )

    def process(self, outcome: Outcome) -> Iterator[str]:
        kept = not isinstance(outcome, Rejection)
        (self._kept if kept else self._rejected).inc()
        PROGRESS.outcome(outcome)
        self._costs.add(outcome)
        small = without_pixels(outcome, self._marks)
        if not self._keep_pictures and isinstance(small, Sample) and small.image_bytes is not None:
            small = dataclasses.replace(small, image_bytes=None)
        self._buffer.add(small)
        yield from self._written()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        # What follows may begin when the bundle has ended: its outcomes must be there, whoever wrote them.
        self._buffer.flush()
        self._costs.count()
        PROGRESS.tell_now()
        for path in self._written():
            yield GlobalWindows.windowed_value(path)

    def teardown(self) -> None:
        # A bundle that broke off: its finished rows are facts all the same. Why it broke off has been said.
        with contextlib.suppress(OSError):
            self._buffer.flush()

    def _written(self) -> list[str]:
        paths = self._buffer.written()
        self._files.inc(len(paths))
        return paths
