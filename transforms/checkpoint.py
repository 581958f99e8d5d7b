"""`Checkpoint`: outcomes become small files of their unit while the run goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_recap import checkpoint
from beam_recap.outcome_buffer import OutcomeBuffer
from beam_recap.progress import PROGRESS
from beam_recap.records import Outcome, Rejection
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

    Input: a mapping of labels to PCollections of `Sample` or `Rejection`. Output: the written files' paths (`str`).

    Args:
      output: the run's directory.
      attempt: the number of this run of the same config; later attempts win.
      flush_rows: outcomes that a process holds at most.
      flush_seconds: the longest time, in seconds, that it holds one.

    Metrics: ``kept_rows``, ``rejected_rows``, ``files``.
    """

    def __init__(
        self, output: str, attempt: int, *, flush_rows: int = FLUSH_ROWS, flush_seconds: float = FLUSH_SECONDS
    ):
        super().__init__()
        self._settings = (output, attempt, flush_rows, flush_seconds)

    def expand(self, outcomes: Mapping[str, beam.PCollection]) -> beam.PCollection:
        written = [
            rows | f"Write{label}" >> beam.ParDo(_WriteOutcomesFn(*self._settings)).with_output_types(str)
            for label, rows in outcomes.items()
        ]
        return written | "Files" >> beam.Flatten()


class _WriteOutcomesFn(beam.DoFn):
    def __init__(self, output: str, attempt: int, flush_rows: int, flush_seconds: float):
        self._settings = (output, attempt, flush_rows, flush_seconds)
        self._kept = Metrics.counter(NAMESPACE, "kept_rows")
        self._rejected = Metrics.counter(NAMESPACE, "rejected_rows")
        self._files = Metrics.counter(NAMESPACE, "files")

    def setup(self) -> None:
        output, attempt, flush_rows, flush_seconds = self._settings
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
        PROGRESS.row(kept=kept)
        self._buffer.add(outcome if isinstance(outcome, Rejection) else outcome.without_image())
        yield from self._written()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        # What follows may begin when the bundle has ended: its outcomes must be there, whoever wrote them.
        self._buffer.flush()
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
