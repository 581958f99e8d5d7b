"""`Curate`: labels of clusters and de-duplication, once every row has an outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_recap import checkpoint, curation
from beam_recap.curation_settings import CurationSettings
from beam_recap.duplicates.rows import Decision, DuplicateRow, of_sample
from beam_recap.inputs.units import UnitCount
from beam_recap.records import Sample
from transforms.assign_cluster import AssignCluster
from transforms.checkpoint import CheckpointedRows
from transforms.deduplicate import Deduplicate

NAMESPACE = "Curate"
_LABELS, _DECISIONS = "labels", "decisions"


class Curate(beam.PTransform):
    """Works out what only the whole dataset tells, from the checkpoint, and leaves a small file per unit.

    Input and output: `CheckpointedRows`. The output's files are those that were left: who waits for them waits for all.

    Args:
      output: the run's directory.
      folder: the attempt's, by `curation.folder_of`.
      settings: what is worked out.

    Metrics: ``kept_rows``, ``files``; those of `AssignCluster` and `Deduplicate` in their own namespaces.
    """

    def __init__(self, output: str, folder: str, settings: CurationSettings):
        super().__init__()
        self._output = output
        self._folder = folder
        self._settings = settings

    def expand(self, rows: CheckpointedRows) -> CheckpointedRows:
        units = rows.units | "KeyUnits" >> beam.Map(lambda unit: (None, unit))
        files = rows.files | "KeyFiles" >> beam.Map(lambda path: (None, None))
        kept = (
            (units, files)
            | "AllDone" >> beam.Flatten()
            | "Wait" >> beam.GroupByKey()
            | "Units" >> beam.FlatMap(_distinct_units).with_output_types(str)
            | "SpreadUnits" >> beam.Reshuffle()
            | "ReadKept" >> beam.ParDo(_ReadKeptFn(self._output)).with_output_types(DuplicateRow)
        )
        found = {}
        if self._settings.clusters is not None:
            kept = kept | "Label" >> _Label(self._settings.clusters)
            found[_LABELS] = kept | "Labels" >> beam.Map(_label_of).with_output_types(tuple[str, tuple[int, int]])
        if self._settings.duplicates is not None:
            found[_DECISIONS] = kept | "Deduplicate" >> Deduplicate(self._settings.duplicates)
        written = (
            found
            | "GroupByUnit" >> beam.CoGroupByKey()
            | "Write" >> beam.ParDo(_WriteFn(self._output, self._folder)).with_output_types(str)
        )
        return CheckpointedRows(rows.units, written)


class _Label(beam.PTransform):
    """Rows with the labels of their clusters; without an embedding there is none."""

    def __init__(self, clusters: str):
        super().__init__()
        self._clusters = clusters

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        parted = rows | "HasEmbedding" >> beam.Partition(lambda row, _: int(row.embedding is not None), 2)
        labelled = (
            parted[1]
            | "WithEmbedding" >> beam.Map(lambda row: (row, row.embedding))
            | "AssignCluster" >> AssignCluster(self._clusters)
            | "WithLabel"
            >> beam.MapTuple(lambda row, label: dataclasses.replace(row, cluster=label)).with_output_types(DuplicateRow)
        )
        return (parted[0], labelled) | "All" >> beam.Flatten()


def _distinct_units(keyed: tuple[None, Iterable[UnitCount | None]]) -> Iterator[str]:
    yield from sorted({unit.name for unit in keyed[1] if unit is not None})


def _label_of(row: DuplicateRow) -> tuple[str, tuple[int, int | None]]:
    return row.place.unit, (row.place.index, row.cluster)


class _ReadKeptFn(beam.DoFn):
    def __init__(self, output: str):
        self._output = output
        self._kept = Metrics.counter(NAMESPACE, "kept_rows")

    def process(self, unit: str) -> Iterator[DuplicateRow]:
        for outcome in checkpoint.read_outcomes(self._output, unit):
            if isinstance(outcome, Sample):
                self._kept.inc()
                yield of_sample(outcome)


class _WriteFn(beam.DoFn):
    def __init__(self, output: str, folder: str):
        self._output = output
        self._folder = folder
        self._files = Metrics.counter(NAMESPACE, "files")

    def process(self, grouped: tuple[str, dict[str, Iterable]]) -> Iterator[str]:
        unit, found = grouped
        decisions: dict[int, Decision] = {decision.place.index: decision for decision in found.get(_DECISIONS, ())}
        yield curation.write(self._output, self._folder, unit, dict(found.get(_LABELS, ())), decisions.values())
        self._files.inc()
