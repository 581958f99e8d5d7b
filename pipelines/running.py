"""What every pipeline's command shares: the local runner, and how a process ends."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions


def use_in_process_runner(options: PipelineOptions) -> bool:
    """Runs DirectRunner as FnApiRunner, the in-process engine that users expect; says whether the run is local.

    Beam 2.77's DirectRunner may download and start another engine first, and which one it takes depends on the graph.
    """
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = "FnApiRunner"
    return bool(standard.runner == "FnApiRunner")


def leave(status: int) -> NoReturn:
    """Ends the process now: a thread that still waits for a slow host or a model must not hold it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
