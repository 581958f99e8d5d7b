"""`Checkpoint`: outcomes become small files of their unit while the run goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_recap import checkpoint
from beam_recap.progress import PROGRESS
from beam_recap.records import Outcome, Rejection

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
    written before everything is done.

    Input: a mapping of labels to PCollections of `Sample` or `Rejection`. Output: the written files' paths (`str`).

    Args:
      output: the run's directory.
      attempt: the number of this run of the same config; later attempts win.
      flush_rows: outcomes a writer holds at most.
      flush_seconds: the longest time, in seconds, it holds one while others come.

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
        self._output = output
        self._attempt = attempt
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._kept = Metrics.counter(NAMESPACE, "kept_rows")
        self._rejected = Metrics.counter(NAMESPACE, "rejected_rows")
        self._files = Metrics.counter(NAMESPACE, "files")

    def start_bundle(self) -> None:
        self._pending: list[Outcome] = []
        self._oldest = time.monotonic()

    def process(self, outcome: Outcome) -> Iterator[str]:
        kept = not isinstance(outcome, Rejection)
        (self._kept if kept else self._rejected).inc()
        PROGRESS.row(kept=kept)
        if not self._pending:
            self._oldest = time.monotonic()
        self._pending.append(outcome if isinstance(outcome, Rejection) else outcome.without_image())
        if len(self._pending) >= self._flush_rows or time.monotonic() - self._oldest >= self._flush_seconds:
            paths = self._flush()
            self._files.inc(len(paths))
            yield from paths

    def finish_bundle(self) -> Iterator[WindowedValue]:
        paths = self._flush()
        self._files.inc(len(paths))
        for path in paths:
            yield GlobalWindows.windowed_value(path)

    def teardown(self) -> None:
        # A bundle that broke off: its finished rows are facts all the same.
        if getattr(self, "_pending", None):
            self._flush()

    def _flush(self) -> list[str]:
        paths = checkpoint.write_outcomes(self._output, self._attempt, self._pending) if self._pending else []
        self._pending = []
        return paths
