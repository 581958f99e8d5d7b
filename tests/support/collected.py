"""Reads a PCollection back in the process that ran it."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

_FOUND: list[Any] = []


def _collect(element: Any) -> None:
    _FOUND.append(element)


def run_and_collect(rows: list[Any], transform: beam.PTransform) -> list[Any]:
    """Runs ``Create(rows) | transform`` in this process and returns what came out, in no particular order.

    It works because this module can be imported by name: functions of test modules are pickled with a copy of
    their globals.
    """
    _FOUND.clear()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | beam.Create(rows) | transform | "Collect" >> beam.Map(_collect)
    return list(_FOUND)
