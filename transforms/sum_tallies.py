"""`SumTallies`: the numbers of all output shards' rows, of any number of shards."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from beam_recap.tally.row_tally import RowTally

SHARDS_PER_SUM = 1000  # a tally is a few megabytes, which one process adds to another in milliseconds


class SumTallies(beam.PTransform):
    """Adds up `RowTally`s, first each thousand shards', then these.

    No process ever holds more than a few: they are added up where they are made, and again where they meet.

    Input: (shard's number, `RowTally`). Output: one `RowTally`, which is there, empty, for no input.
    """

    def expand(self, tallies: beam.PCollection) -> beam.PCollection:
        return (
            tallies
            | "KeyByThousand" >> beam.MapTuple(_keyed).with_output_types(tuple[int, RowTally])
            | "SumThousands" >> beam.CombinePerKey(_SumFn())
            | "Sums" >> beam.Values()
            | "SumAll" >> beam.CombineGlobally(_SumFn()).with_output_types(RowTally)
        )


def _keyed(shard_number: int, tally: RowTally) -> tuple[int, RowTally]:
    return shard_number // SHARDS_PER_SUM, tally


class _SumFn(beam.CombineFn):
    def create_accumulator(self) -> RowTally:
        return RowTally()

    def add_input(self, accumulator: RowTally, tally: RowTally) -> RowTally:
        accumulator.merge(tally)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[RowTally]) -> RowTally:
        total = RowTally()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: RowTally) -> RowTally:
        return accumulator
