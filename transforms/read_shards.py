"""`ReadShards`: files of image-text rows become Samples."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_recap import checkpoint
from beam_recap.inputs.columns import unreadable_row
from beam_recap.inputs.formats import PARQUET, TAR
from beam_recap.inputs.parquet_rows import read_parquet_rows
from beam_recap.inputs.prefilter_rows import Prefilter
from beam_recap.inputs.row_limit import limit_units
from beam_recap.inputs.tar_rows import read_tar_rows
from beam_recap.inputs.text_rows import read_text_rows
from beam_recap.inputs.units import MALFORMED, Shard, Unit, UnitCount, match_shards, plan_units, shard_problem
from beam_recap.progress import PROGRESS
from beam_recap.records import Outcome, Reason, Stage
from beam_recap.slices import Slice
from transforms.outcomes import SplitOutcomes

NAMESPACE = "ReadShards"


class ReadOutputs(NamedTuple):
    """`Sample`, `Rejection`, and a `UnitCount` for each unit read to its end."""

    kept: beam.PCollection
    rejected: beam.PCollection
    units: beam.PCollection


class ReadShards(beam.PTransform):
    """Reads tables and lists of URLs and webdataset tars of images, a unit of rows at a time.

    Input: the pipeline's root. Output: `ReadOutputs`.

    Args:
      patterns: paths, globs or folders, local or ``gs://``.
      unit_rows: rows per unit of a Parquet file or of lines of text; None: of `unit_size`. A tar, a compressed text and
        a JSON file are one unit.
      max_rows: stop after this many rows, in the input's order; None: all.
      part: the slice of them that is read; None: all.
      url_column: the column of URLs where it has none of the known names.
      caption_column: likewise.
      digest_column: the column of the pictures' digests, if they are to be checked.
      prefilter: conditions that rows must fulfil by what the source says of them, as `beam_recap.prefilter.prefilter`
        writes them; no picture of another row is asked for.
      max_image_bytes: larger images in tars are rejected unread.
      output: a run's directory; rows that have an outcome in its checkpoint are skipped. None: read all.
      retry: which of those outcomes are re-opened: ``none``, ``transient`` or ``all``.

    Metrics: ``units``, ``rows_skipped`` (they had an outcome), ``rows_in``, ``rows_kept``, ``rows_rejected``.
    Rejections: ``prefiltered``, ``corrupt_shard``, ``malformed_row``, ``missing_url``, ``missing_image``,
    ``too_large``.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        unit_rows: int | None = None,
        max_rows: int | None = None,
        part: Slice | None = None,
        url_column: str | None = None,
        caption_column: str | None = None,
        digest_column: str | None = None,
        prefilter: Sequence[str] = (),
        max_image_bytes: int = 20 * 2**20,
        output: str | None = None,
        retry: str = "none",
    ):
        super().__init__()
        if isinstance(patterns, str) or not patterns:
            raise ValueError(f"patterns must be a non-empty list of paths or globs, got {patterns!r}")
        if unit_rows is not None and unit_rows < 1:
            raise ValueError(f"unit_rows must be at least 1, got {unit_rows}")
        self._patterns = tuple(patterns)
        self._unit_rows = unit_rows
        self._max_rows = max_rows
        self._part = part
        self._read = _ReadUnitFn(
            {
                "url_column": url_column,
                "caption_column": caption_column,
                "digest_column": digest_column,
                "prefilter": Prefilter(prefilter),
            },
            max_image_bytes,
            output,
            retry,
        )

    def expand(self, root: beam.pvalue.PBegin) -> ReadOutputs:
        # The file list is made in the pipeline: ten thousand paths would not fit into a Dataflow job's graph.
        patterns = root | "Patterns" >> beam.Create([self._patterns], reshuffle=False)
        if self._max_rows is None:
            units = (
                patterns
                | "MatchShards" >> beam.FlatMap(match_shards).with_output_types(Shard)
                | "SpreadShards" >> beam.Reshuffle()
                | "PlanUnits" >> beam.FlatMap(plan_units, unit_rows=self._unit_rows).with_output_types(Unit)
            )
        else:
            limit = beam.FlatMap(_first_units, unit_rows=self._unit_rows, max_rows=self._max_rows)
            units = patterns | "PlanFirstUnits" >> limit.with_output_types(Unit)
        if self._part is not None:
            units = units | "TakeSlice" >> beam.Filter(self._part.holds)
        read = (
            units
            | "CountUnits" >> beam.ParDo(_CountUnitsFn()).with_output_types(Unit)
            | "SpreadUnits" >> beam.Reshuffle()
            | "ReadUnits" >> beam.ParDo(self._read).with_outputs("units", main="outcomes")
        )
        outcomes = read.outcomes | "Outcomes" >> SplitOutcomes(NAMESPACE)
        counts = read.units | "TypeUnits" >> beam.Map(lambda count: count).with_output_types(UnitCount)
        return ReadOutputs(outcomes.kept, outcomes.rejected, counts)


def _first_units(patterns: Sequence[str], unit_rows: int | None, max_rows: int) -> Iterator[Unit]:
    shards = match_shards(patterns)
    yield from limit_units((unit for shard in shards for unit in plan_units(shard, unit_rows)), max_rows)


class _CountUnitsFn(beam.DoFn):
    """Lets progress know how many rows there will be."""

    def process(self, unit: Unit) -> Iterator[Unit]:
        PROGRESS.unit_planned(unit.limit if unit.rows is None else unit.rows)
        yield unit

    def finish_bundle(self) -> None:
        PROGRESS.tell_now()


class _ReadUnitFn(beam.DoFn):
    def __init__(self, chosen: dict[str, Any], max_image_bytes: int, output: str | None, retry: str):
        self._chosen = chosen
        self._max_image_bytes = max_image_bytes
        self._output = output
        self._retry = retry
        self._units = Metrics.counter(NAMESPACE, "units")
        self._skipped = Metrics.counter(NAMESPACE, "rows_skipped")

    def setup(self) -> None:
        # What is not installed is no fault of the rows.
        self._chosen["prefilter"].load()

    def process(self, unit: Unit) -> Iterator[Outcome | TaggedOutput]:
        self._units.inc()
        done = checkpoint.done_indexes(self._output, unit.name, self._retry) if self._output else set()
        self._skipped.inc(len(done))
        PROGRESS.unit_begun(unit.name, skipped=len(done))
        rows = unit.rows
        if rows is None or len(done) < rows:
            rows = yield from self._read(unit, done)
        if unit.rows is None and unit.limit is None:
            PROGRESS.stream_ended(rows)
        yield TaggedOutput("units", UnitCount(unit.shard_number, unit.start, unit.name, rows))

    def _read(self, unit: Unit, done: set[int]) -> Generator[Outcome, None, int]:
        if unit.format == TAR:
            outcomes = read_tar_rows(unit, max_bytes=self._max_image_bytes, done=done, **self._chosen)
        elif unit.format == PARQUET:
            outcomes = read_parquet_rows(unit, done=done, **self._chosen)
        elif unit.format == MALFORMED:
            outcomes = _unreadable(unit)
        else:
            outcomes = read_text_rows(unit, done=done, **self._chosen)
        while True:
            try:
                outcome = next(outcomes)
            except StopIteration as end:
                return unit.rows if unit.rows is not None else end.value
            yield outcome


def _unreadable(unit: Unit) -> Iterator[Outcome]:
    detail = shard_problem(unit.path) or "the shard could not be read when the run began"
    yield unreadable_row(unit, 0, 0).reject(Stage.READ, Reason.CORRUPT_SHARD, detail)
