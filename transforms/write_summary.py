"""`WriteSummary`: what the run did, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apache_beam as beam

from beam_recap.assemble import ShardStats
from beam_recap.download_counts import HostCounts
from beam_recap.report.facts import RunFacts
from beam_recap.report.run_report import write_reports
from transforms.rank_hosts import RankHosts
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
        hosts = written.hosts | "RankHosts" >> RankHosts()
        write = beam.Map(_write, beam.pvalue.AsSingleton(hosts), facts=self._facts)
        return (
            written.shards
            | "Key" >> beam.Map(lambda shard: (None, shard))
            | "Wait" >> beam.GroupByKey()
            | "Write" >> write.with_output_types(dict)
        )


def _write(keyed: tuple[None, Iterable[ShardStats]], hosts: Sequence[tuple[str, HostCounts]], facts: RunFacts) -> dict:
    return write_reports(facts, list(keyed[1]), hosts)
