"""`RankHosts`: the hosts with the most failed downloads, of any number of hosts."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from beam_recap.download_counts import MOST_HOSTS, HostCounts, by_failures, failed_rows, merge_host_counts


class RankHosts(beam.PTransform):
    """Adds up each host's counts and picks the hosts with the most failed rows.

    No process ever holds all hosts: sums are per key, and what is picked has a fixed size.

    Input: (host, `HostCounts`), any number of times per host. Output: one list of (host, `HostCounts`), the most failed
    rows first and equal ones by name; hosts without a failure are left out. The list is there, empty, for no input.

    Args:
      hosts: how many at most.
    """

    def __init__(self, hosts: int = MOST_HOSTS):
        super().__init__()
        self._hosts = hosts

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        return (
            counts
            | "SumPerHost" >> beam.CombinePerKey(_SumCountsFn())
            | "WithFailures" >> beam.Filter(lambda host: failed_rows(host[1]) > 0)
            | "MostFailures" >> beam.combiners.Top.Smallest(self._hosts, key=by_failures)
        )


class _SumCountsFn(beam.CombineFn):
    def create_accumulator(self) -> HostCounts:
        return {}

    def add_input(self, accumulator: HostCounts, counts: HostCounts) -> HostCounts:
        return merge_host_counts(accumulator, counts)

    def merge_accumulators(self, accumulators: Iterable[HostCounts]) -> HostCounts:
        total: HostCounts = {}
        for accumulator in accumulators:
            merge_host_counts(total, accumulator)
        return total

    def extract_output(self, accumulator: HostCounts) -> HostCounts:
        return accumulator
