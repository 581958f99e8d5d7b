"""`WriteSummary`: what the run did, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from beam_recap.assemble import ShardStats
from beam_recap.download_counts import HOSTS_OF_SLICE, RankedHosts
from beam_recap.report.facts import RunFacts
from beam_recap.report.run_report import write_reports
from beam_recap.tally.row_tally import RowTally
from transforms.rank_hosts import RankHosts
from transforms.sum_tallies import SumTallies
from transforms.write_parquet import WrittenShards


class WriteSummary(beam.PTransform):
    """Checks that every row has one outcome, then writes ``summary.json``, ``README.md`` and ``report.html``.

    Input: `WrittenShards`, all of the run's. Output: the summary (`dict`).

    Raises (in the run): `AccountingError` if rows are not kept + rejected.
    """

    def __init__(self, facts: RunFacts):
        super().__init__()
        self._facts = facts

    def expand(self, written: WrittenShards) -> beam.PCollection:
        rank = RankHosts() if self._facts.part is None else RankHosts(HOSTS_OF_SLICE, HOSTS_OF_SLICE)
        single = beam.pvalue.AsSingleton
        hosts = single(written.hosts | "RankHosts" >> rank)
        tally = single(written.tallies | "SumTallies" >> SumTallies())
        write = beam.Map(_write, tally, hosts, facts=self._facts)
        return (
            written.shards
            | "Key" >> beam.Map(lambda shard: (None, shard))
            | "Wait" >> beam.GroupByKey()
            | "Write" >> write.with_output_types(dict)
        )


def _write(keyed: tuple[None, Iterable[ShardStats]], tally: RowTally, hosts: RankedHosts, facts: RunFacts) -> dict:
    return write_reports(facts, list(keyed[1]), tally, hosts)
