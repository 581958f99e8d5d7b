"""`LocalRunner`: Beam's in-process engine, with worker processes that end with the command."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult

from beam_recap.ending import at_end


class LocalRunner(FnApiRunner):
    """`FnApiRunner` with two differences.

    Its worker processes run `beam_recap.worker_process`, because Beam's own outlive a killed command. A pipeline's
    temporary folder is deleted also when the process is ended.
    """

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
        at_end(functools.partial(shutil.rmtree, pipeline.local_tempdir, ignore_errors=True))
        return super().run_pipeline(pipeline, options)

    def run_via_runner_api(
        self, pipeline_proto: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> PipelineResult:
        # A shell starts it; by exec it is the worker itself that Beam waits for.
        command = f"exec {shlex.quote(sys.executable)} -m beam_recap.worker_process {os.getpid()}"
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = command.encode()
        return super().run_via_runner_api(pipeline_proto, options)
