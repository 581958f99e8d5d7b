"""Counters: namespace the transform, name what is counted, with its unit. Always updated in the thread of `process`."""

from __future__ import annotations

from apache_beam.metrics import Metrics

from beam_recap.costs import COSTED
from beam_recap.records import Outcome, Rejection

_COSTED_TOGETHER = 50  # rows


class OutcomeCounter:
    """Counts what a stage does: ``rows_in``, ``rows_kept``, ``rows_rejected`` and ``rejected_<reason>``."""

    def __init__(self, namespace: str):
        self._namespace = namespace
        self._rows_in = Metrics.counter(namespace, "rows_in")
        self._kept = Metrics.counter(namespace, "rows_kept")
        self._rejected = Metrics.counter(namespace, "rows_rejected")

    def count(self, outcome: Outcome) -> None:
        self._rows_in.inc()
        if isinstance(outcome, Rejection):
            self._rejected.inc()
            Metrics.counter(self._namespace, f"rejected_{outcome.reason}").inc()
        else:
            self._kept.inc()


class CostCounter:
    """Counts what stages cost: ``<stage>_rows`` and ``<stage>_ms``, of a thread.

    Beam's counters cost a microsecond each, so they are brought up to date every so many rows.
    """

    def __init__(self, namespace: str):
        self._counters = [
            (Metrics.counter(namespace, f"{stage}_rows"), Metrics.counter(namespace, f"{stage}_ms")) for stage in COSTED
        ]
        self._rows = [0] * len(COSTED)
        self._seconds = [0.0] * len(COSTED)
        self._outcomes = 0

    def add(self, outcome: Outcome) -> None:
        seconds = outcome.sample.seconds if isinstance(outcome, Rejection) else outcome.seconds
        for stage, spent in enumerate(seconds or ()):
            if spent is not None:
                self._rows[stage] += 1
                self._seconds[stage] += spent
        self._outcomes += 1
        if self._outcomes % _COSTED_TOGETHER == 0:
            self.count()

    def count(self) -> None:
        """Brings the counters up to date; parts of a millisecond wait for the next time."""
        for stage, (rows, milliseconds) in enumerate(self._counters):
            if self._rows[stage]:
                whole = int(1000 * self._seconds[stage])
                rows.inc(self._rows[stage])
                milliseconds.inc(whole)
                self._rows[stage] = 0
                self._seconds[stage] -= whole / 1000
