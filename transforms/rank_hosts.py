"""`RankHosts`: the hosts with the most rows and the most failed ones, of any number of hosts."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from beam_recap.download_counts import (
    MOST_FAILING_HOSTS,
    MOST_HOSTS,
    HostCounts,
    RankedHosts,
    merge_host_counts,
)

_Host = tuple[str, HostCounts]


class RankHosts(beam.PTransform):
    """Adds up each host's counts and picks the hosts with the most failed rows, and those with the most rows.

    No process ever holds all hosts: sums are per key, and what is picked has a fixed size.

    Input: (host, `HostCounts`), any number of times per host. Output: one `RankedHosts`, which is there, empty, for no
    input.

    Args:
      failing: how many by failures at most.
      most: how many by rows at most.
    """

    def __init__(self, failing: int = MOST_FAILING_HOSTS, most: int = MOST_HOSTS):
        super().__init__()
        self._rank = _RankFn(failing, most)

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        return (
            counts
            | "SumPerHost" >> beam.CombinePerKey(_SumCountsFn())
            | "Rank" >> beam.CombineGlobally(self._rank).with_output_types(RankedHosts)
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


class _RankFn(beam.CombineFn):
    """Of hosts that come once each. An accumulator holds at most twice as many as are picked, and those yet to rank."""

    def __init__(self, failing: int, most: int):
        self._failing = failing
        self._most = most

    def create_accumulator(self) -> dict[str, HostCounts]:
        return {}

    def add_input(self, accumulator: dict[str, HostCounts], host: _Host) -> dict[str, HostCounts]:
        accumulator[host[0]] = host[1]
        return self._cut(accumulator)

    def merge_accumulators(self, accumulators: Iterable[dict[str, HostCounts]]) -> dict[str, HostCounts]:
        total: dict[str, HostCounts] = {}
        for accumulator in accumulators:
            total.update(accumulator)
            total = self._cut(total)
        return total

    def extract_output(self, accumulator: dict[str, HostCounts]) -> RankedHosts:
        return RankedHosts.of(accumulator.items(), self._failing, self._most)

    def _cut(self, hosts: dict[str, HostCounts]) -> dict[str, HostCounts]:
        if len(hosts) <= 2 * (self._failing + self._most):
            return hosts
        return self.extract_output(hosts).hosts()
