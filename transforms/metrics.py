"""Counters: namespace the transform, name what is counted, with its unit. Always updated in the thread of `process`."""

from __future__ import annotations

from apache_beam.metrics import Metrics

from beam_recap.records import Outcome, Rejection


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
