"""What every stage gives: rows that go on, and rejections beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from beam_recap.records import Outcome, Rejection, Sample
from transforms.metrics import OutcomeCounter

KEPT = "kept"
REJECTED = "rejected"


class StageOutputs(NamedTuple):
    """A stage's two outputs: a PCollection of `Sample` and one of `Rejection`."""

    kept: beam.PCollection
    rejected: beam.PCollection


class SplitOutcomes(beam.PTransform):
    """Parts outcomes into kept rows and rejections, and counts them under the stage's name.

    Input: `Outcome`. Output: `StageOutputs`.
    Metrics: ``rows_in``, ``rows_kept``, ``rows_rejected``, ``rejected_<reason>`` in ``namespace``.
    """

    def __init__(self, namespace: str):
        super().__init__()
        self._namespace = namespace

    def expand(self, outcomes: beam.PCollection) -> StageOutputs:
        split = beam.ParDo(_SplitFn(self._namespace)).with_output_types(Sample, rejected=Rejection)
        parted = outcomes | "Part" >> split.with_outputs(REJECTED, main=KEPT)
        return StageOutputs(parted[KEPT], parted[REJECTED])


class _SplitFn(beam.DoFn):
    def __init__(self, namespace: str):
        self._counter = OutcomeCounter(namespace)

    def process(self, outcome: Outcome) -> Iterator[Sample | TaggedOutput]:
        self._counter.count(outcome)
        yield TaggedOutput(REJECTED, outcome) if isinstance(outcome, Rejection) else outcome
