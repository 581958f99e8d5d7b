"""`WriteParquet`: the final files, kept and rejected, from the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_recap import curation
from beam_recap.assemble import OutputShard, ShardStats, assemble, delete_stale, plan_output_shards
from beam_recap.caption_mix import CaptionMix
from beam_recap.inputs.units import UnitCount
from beam_recap.schemas import Provenance, kept_columns, rejected_columns
from beam_recap.slices import Slice
from beam_recap.tally.row_tally import RowTally
from transforms.checkpoint import CheckpointedRows

NAMESPACE = "WriteParquet"
SHARDS = "shards"
HOSTS = "hosts"
TALLIES = "tallies"


class WrittenShards(NamedTuple):
    """What `WriteParquet` gives: `ShardStats` and (number, `RowTally`) per output shard, and (host, `HostCounts`) per
    shard and host.
    """

    shards: beam.PCollection
    hosts: beam.PCollection
    tallies: beam.PCollection


class WriteParquet(beam.PTransform):
    """Writes one output shard at a time, each from the checkpoint files of its units, once every unit is done.

    Input: `CheckpointedRows`. Output: `WrittenShards`.

    Args:
      output: the run's directory; files go to ``data/`` and ``rejected/``.
      schema: of kept rows, one of `names.SCHEMAS`.
      extra_columns: also what that schema lacks.
      provenance: the names of the models.
      rows_per_file: input rows per output shard.
      part: the slice of the input that the rows are; None: they are all.
      curated: the folder of the `Curate` that applies, by `curation.folder_of`; None: there is none.
      save_embeddings: also write the kept rows' embeddings, to ``embeddings/``.
      webdataset: also write the kept rows' pictures, to ``webdataset/``; the `Checkpoint` has kept them.
      mix: how original and new captions are mixed, in columns and as texts of pictures; None if they are not.

    Metrics: ``output_shards``, ``kept_rows``, ``rejected_rows``.

    Raises (in the run): `AccountingError` if a row has no outcome.
    """

    def __init__(
        self,
        output: str,
        *,
        schema: str,
        extra_columns: bool,
        provenance: Provenance,
        rows_per_file: int,
        part: Slice | None = None,
        curated: str | None = None,
        save_embeddings: bool = False,
        webdataset: bool = False,
        mix: CaptionMix | None = None,
    ):
        super().__init__()
        self._plan = {
            "output": output,
            "rows_per_file": rows_per_file,
            "part": part,
            "curated": curated,
        }
        settings = {"curated": curated, "save_embeddings": save_embeddings, "webdataset": webdataset, "mix": mix}
        self._assemble = _AssembleFn(output, (schema, extra_columns, provenance, mix), settings)

    def expand(self, rows: CheckpointedRows) -> WrittenShards:
        units = rows.units | "KeyUnits" >> beam.Map(lambda unit: (None, unit))
        # The files themselves are found by their unit; what matters here is that all of them have been written.
        files = rows.files | "KeyFiles" >> beam.Map(lambda path: (None, None))
        plan = beam.FlatMap(_plan, **self._plan)
        # Without it an input of no rows would group to nothing, and no file would be written.
        always = rows.units.pipeline | "Always" >> beam.Create([(None, None)], reshuffle=False)
        assemble_shards = beam.ParDo(self._assemble).with_output_types(
            ShardStats, hosts=tuple[str, dict[str, int]], tallies=tuple[int, RowTally]
        )
        written = (
            (units, files, always)
            | "AllDone" >> beam.Flatten()
            | "Wait" >> beam.GroupByKey()
            | "PlanOutputShards" >> plan.with_output_types(OutputShard)
            | "SpreadOutputShards" >> beam.Reshuffle()
            | "Assemble" >> assemble_shards.with_outputs(HOSTS, TALLIES, main=SHARDS)
        )
        return WrittenShards(written[SHARDS], written[HOSTS], written[TALLIES])


def _plan(
    keyed: tuple[None, Iterable[UnitCount | None]],
    output: str,
    rows_per_file: int,
    part: Slice | None,
    curated: str | None,
) -> Iterator[OutputShard]:
    shards = plan_output_shards((unit for unit in keyed[1] if unit is not None), rows_per_file, part)
    delete_stale(output, shards, part)
    if curated is not None:
        curation.delete_others(output, curated, part)
    yield from shards


class _AssembleFn(beam.DoFn):
    def __init__(
        self,
        output: str,
        kept_columns: tuple[str, bool, Provenance, CaptionMix | None],
        settings: dict[str, Any],
    ):
        self._output = output
        self._kept_columns = kept_columns
        self._settings = settings
        self._shards = Metrics.counter(NAMESPACE, "output_shards")
        self._kept = Metrics.counter(NAMESPACE, "kept_rows")
        self._rejected = Metrics.counter(NAMESPACE, "rejected_rows")

    def process(self, shard: OutputShard) -> Iterator[ShardStats | TaggedOutput]:
        extra_columns = self._kept_columns[1]
        columns = (kept_columns(*self._kept_columns), rejected_columns(extra_columns))
        stats, hosts, tally = assemble(self._output, shard, *columns, **self._settings)
        self._shards.inc()
        self._kept.inc(stats.kept)
        self._rejected.inc(stats.rows - stats.kept)
        yield stats
        yield TaggedOutput(TALLIES, (stats.number, tally))
        for host, counts in hosts.items():
            yield TaggedOutput(HOSTS, (host, counts))
