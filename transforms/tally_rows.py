"""`TallyRows`: sums, clusters, captions and examples of any number of rows, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import apache_beam as beam

from beam_recap.audit.examples import MAX_EXAMPLES, Example, Rank
from beam_recap.audit.observation import Observation
from beam_recap.audit.tally import Tally, bucket_of
from beam_recap.audit.words import CaptionSample

MAX_CLUSTERS = 10_000  # reported; of a column that is no label there could be as many as rows


class Tallied(NamedTuple):
    """Singletons: a `Tally` of all rows; (label, `Tally`) of the largest clusters, in order; how many clusters there
    are; a sample of captions.
    """

    total: beam.PCollection
    clusters: beam.PCollection
    cluster_count: beam.PCollection
    captions: beam.PCollection


class TallyRows(beam.PTransform):
    """Sums up rows. Each input is summed up in the stage that makes it, so that no row is ever stored.

    Input: PCollections of `Observation` by label. Output: `Tallied`.

    Args:
      seed: of the buckets, and of the captions that are picked.
      buckets: of all rows.
      cluster_buckets: of one cluster's rows.
      sample_captions: whether captions are wanted; without it the sample is empty.
    """

    def __init__(self, *, seed: int, buckets: int, cluster_buckets: int, sample_captions: bool = True):
        super().__init__()
        self._total = _TallyFn(seed, buckets)
        self._cluster = _TallyFn(seed, cluster_buckets)
        self._captions = _CaptionsFn(seed) if sample_captions else _NoCaptionsFn(seed)
        self._seed = seed

    def expand(self, inputs: Mapping[str, beam.PCollection]) -> Tallied:
        totals, clusters, captions = [], [], []
        for label, rows in inputs.items():
            totals.append(rows | f"Total{label}" >> beam.CombineGlobally(self._total))
            captions.append(rows | f"Captions{label}" >> beam.CombineGlobally(self._captions))
            clusters.append(
                rows
                | f"Labelled{label}" >> beam.Filter(lambda row: row.cluster is not None)
                | f"KeyBy{label}" >> beam.Map(lambda row: (row.cluster, row)).with_output_types(tuple[int, Observation])
                | f"Cluster{label}" >> beam.CombinePerKey(self._cluster)
            )
        merge = _MergeTalliesFn()
        per_cluster = clusters | "AllClusters" >> beam.Flatten() | "MergeClusters" >> beam.CombinePerKey(merge)
        return Tallied(
            total=totals | "AllTotals" >> beam.Flatten() | "MergeTotals" >> beam.CombineGlobally(merge),
            clusters=per_cluster | "Largest" >> beam.combiners.Top.Of(MAX_CLUSTERS, key=_size),
            cluster_count=per_cluster | "Count" >> beam.combiners.Count.Globally(),
            captions=captions
            | "AllCaptions" >> beam.Flatten()
            | "MergeCaptions" >> beam.CombineGlobally(_MergeCaptionsFn(self._seed)),
        )


class TopExamples(beam.PTransform):
    """The examples of the highest rank, the highest first, each once. Input: `Example`. Output: one list."""

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        return examples | "Top" >> beam.CombineGlobally(_TopExamplesFn())


def _size(cluster: tuple[int, Tally]) -> tuple[int, int]:
    return cluster[1].rows, -cluster[0]


class _MergeFn(beam.CombineFn):
    """Adds up what has ``merge``. Merging may change an accumulator, never an input."""

    def create_accumulator(self) -> Any:
        raise NotImplementedError

    def add_input(self, accumulator: Any, part: Any) -> Any:
        accumulator.merge(part)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        total = self.create_accumulator()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: Any) -> Any:
        return accumulator


class _MergeTalliesFn(_MergeFn):
    def create_accumulator(self) -> Tally:
        return Tally()


class _TallyFn(_MergeTalliesFn):
    def __init__(self, seed: int, buckets: int):
        self._seed = seed
        self._buckets = buckets

    def add_input(self, accumulator: Tally, row: Observation) -> Tally:
        accumulator.add(row, bucket_of(row.row_id, self._seed, self._buckets))
        return accumulator


class _MergeCaptionsFn(_MergeFn):
    def __init__(self, seed: int):
        self._seed = seed

    def create_accumulator(self) -> CaptionSample:
        return CaptionSample(self._seed)


class _CaptionsFn(_MergeCaptionsFn):
    def add_input(self, accumulator: CaptionSample, row: Observation) -> CaptionSample:
        if row.caption is not None:
            accumulator.add(row.row_id, row.caption)
        return accumulator


class _NoCaptionsFn(_MergeCaptionsFn):
    def add_input(self, accumulator: CaptionSample, row: Observation) -> CaptionSample:
        return accumulator


class _TopExamplesFn(beam.CombineFn):
    def create_accumulator(self) -> dict[Rank, Example]:
        return {}

    def add_input(self, accumulator: dict[Rank, Example], example: Example) -> dict[Rank, Example]:
        accumulator[example.rank] = example
        return self._cut(accumulator, 2 * MAX_EXAMPLES)

    def merge_accumulators(self, accumulators: Iterable[dict[Rank, Example]]) -> dict[Rank, Example]:
        merged: dict[Rank, Example] = {}
        for accumulator in accumulators:
            merged = self._cut(merged | accumulator, 2 * MAX_EXAMPLES)
        return merged

    def extract_output(self, accumulator: dict[Rank, Example]) -> list[Example]:
        return list(self._cut(accumulator, 0).values())

    def _cut(self, examples: dict[Rank, Example], above: int) -> dict[Rank, Example]:
        if len(examples) <= above:
            return examples
        return {rank: examples[rank] for rank in sorted(examples, reverse=True)[:MAX_EXAMPLES]}
