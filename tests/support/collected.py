"""Reads a PCollection back in the process that ran it."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_recap.records import Rejection, Sample
from transforms.outcomes import StageOutputs

_FOUND: list[Any] = []


def _collect(element: Any) -> None:
    _FOUND.append(element)


class _Both(beam.PTransform):
    """A stage's kept rows and rejections in one PCollection."""

    def __init__(self, stage: beam.PTransform):
        super().__init__()
        self._stage = stage

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        outputs: StageOutputs = rows | self._stage
        return (outputs.kept, outputs.rejected) | beam.Flatten()


def run_and_collect(rows: list[Any], transform: beam.PTransform) -> list[Any]:
    """Runs ``Create(rows) | transform`` in this process and returns what came out, in no particular order.

    It works because this module can be imported by name: functions of test modules are pickled with a copy of
    their globals.
    """
    _FOUND.clear()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | beam.Create(rows) | transform | "Collect" >> beam.Map(_collect)
    return list(_FOUND)


def run_stage(samples: list[Sample], stage: beam.PTransform) -> tuple[list[Sample], list[Rejection]]:
    """Kept rows and rejections of one stage, in the order of their indexes."""
    found = run_and_collect(samples, _Both(stage))
    kept = sorted((row for row in found if isinstance(row, Sample)), key=lambda sample: sample.index)
    rejected = sorted((row for row in found if isinstance(row, Rejection)), key=lambda row: row.sample.index)
    return kept, rejected
