"""`LocalRunner`: Beam's in-process engine, with worker processes that end with the command."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sys
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult

from beam_recap.ending import at_end
from beam_recap.progress import PROGRESS

_THREADS = "OMP_NUM_THREADS"


class LocalRunner(FnApiRunner):
    """`FnApiRunner` with four differences.

    Its worker processes run `beam_recap.worker_process`, because Beam's own outlive a killed command; they share the
    machine's cores, where each would start threads for all of them. A pipeline's temporary folder is deleted also when
    the process is ended. Progress learns which stage runs.
    """

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
        at_end(functools.partial(shutil.rmtree, pipeline.local_tempdir, ignore_errors=True))
        return super().run_pipeline(pipeline, options)

    def run_via_runner_api(
        self, pipeline_proto: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> PipelineResult:
        # A shell starts it; by exec it is the worker itself that Beam waits for.
        command = f"exec env {_share_of_cores(options)} {shlex.quote(sys.executable)}"
        command += f" -m beam_recap.worker_process {os.getpid()}"
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = command.encode()
        return super().run_via_runner_api(pipeline_proto, options)

    def _execute_bundle(self, runner_execution_context: Any, bundle_context_manager: Any, *arguments: Any) -> Any:
        PROGRESS.stage_begins(step.unique_name for step in bundle_context_manager.stage.transforms)
        return super()._execute_bundle(runner_execution_context, bundle_context_manager, *arguments)


def runs_in_processes(options: PipelineOptions) -> bool:
    """Whether rows are done by worker processes, and not in the command's own."""
    return bool(options.view_as(DirectOptions).direct_running_mode == "multi_processing")


def _share_of_cores(options: PipelineOptions) -> str:
    """The setting of each worker's threads, for ``env``; "" where the user has one."""
    if _THREADS in os.environ:
        return ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = options.view_as(DirectOptions).direct_num_workers or cores
    return f"{_THREADS}={max(1, cores // workers)}"
