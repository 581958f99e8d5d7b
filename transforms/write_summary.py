"""`WriteSummary`: what the run did, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from beam_recap.assemble import ShardStats
from beam_recap.report.facts import RunFacts
from beam_recap.report.run_report import write_reports


class WriteSummary(beam.PTransform):
    """Checks that every row has one outcome, then writes ``summary.json``, ``README.md`` and ``report.html``.

    Input: `ShardStats`, all of the run's. Output: the summary (`dict`).

    Raises (in the run): `AccountingError` if rows are not kept + rejected.
    """

    def __init__(self, facts: RunFacts):
        super().__init__()
        self._facts = facts

    def expand(self, stats: beam.PCollection) -> beam.PCollection:
        return (
            stats
            | "Key" >> beam.Map(lambda shard: (None, shard))
            | "Wait" >> beam.GroupByKey()
            | "Write" >> beam.Map(_write, facts=self._facts).with_output_types(dict)
        )


def _write(keyed: tuple[None, Iterable[ShardStats]], facts: RunFacts) -> dict:
    return write_reports(facts, list(keyed[1]))
