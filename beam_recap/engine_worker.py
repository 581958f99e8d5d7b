"""A worker process of Flink or Prism: the command of Beam's PROCESS environment, which Beam ships in containers only.

The engine starts it as ``.engines/worker`` (see the Makefile), and appends the arguments of Beam's container contract.
Where the environment variable `COMMAND` names a process, the worker and its engine end with that process.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

import grpc
import psutil
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

from beam_recap.ending import end, heed_signals
from beam_recap.logs import log_plainly
from beam_recap.worker_process import heed_as_worker

COMMAND = "BEAM_RECAP_COMMAND"
_PROVISION_S = 60.0  # the engine is there already when it starts a worker


def main(argv: Sequence[str]) -> None:
    """Works until the engine hangs up, then ends the process."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    arguments, _ = parser.parse_known_args(argv)
    log_plainly()
    # It would name all flags that are not Beam's own.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    if command := os.environ.get(COMMAND):
        threading.Thread(target=_follow, args=(int(command), os.getppid()), name="follow_command", daemon=True).start()
    with heed_signals(heed_as_worker):
        try:
            _work(arguments.id.strip("'"), arguments.provision_endpoint)  # Prism quotes the id as for a shell
        except grpc.RpcError:  # the engine has said why it ends
            end(1)
    end(0)  # threads may still wait for a slow host


def _work(worker_id: str, provision_endpoint: str) -> None:
    with grpc.insecure_channel(provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, metadata=[("worker_id", worker_id)], timeout=_PROVISION_S).info
    # Nothing is staged: the code is this folder's. What is logged goes to standard error.
    _, harness, _ = sdk_worker_main.create_harness(
        {
            "WORKER_ID": worker_id,
            "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
            "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        }
    )
    harness.run()


def _follow(command: int, engine: int) -> None:
    """A command that was killed leaves its engine at work, beside the next run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(command).wait()
    with contextlib.suppress(ProcessLookupError):
        os.kill(engine, signal.SIGTERM)
    end(1)


if __name__ == "__main__":
    main(sys.argv[1:])
