"""Engines other than Beam's in-process one: where they are, and the flags that run the main job on them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.recap_runs import ROOT

# Where `make recap-flink` and `make recap-prism` put them; the variable names another folder.
ENGINES = Path(os.environ.get("BEAM_RECAP_ENGINES", ROOT / ".engines"))
_JOB_SERVER = ENGINES / "flink" / "job-server.jar"
_PRISM = ENGINES / "prism"


def worker_command(folder: Path) -> Path:
    """What the Makefile makes, for this interpreter: the command by which an engine starts a worker process."""
    command = folder / "worker"
    start = f"exec {shlex.quote(sys.executable)} -m beam_recap.engine_worker"
    command.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && {start} "$@"\n')
    command.chmod(0o755)
    return command


def flink(folder: Path) -> list[str]:
    """Flags for a local Flink cluster with two worker processes."""
    return [
        "--runner=FlinkRunner",
        "--flink_master=[local]",
        f"--flink_job_server_jar={_JOB_SERVER}",
        "--parallelism=2",
        "--sdk_worker_parallelism=2",
        "--environment_cache_millis=86400000",
        *_process_workers(folder),
    ]


def prism(folder: Path) -> list[str]:
    """Flags for Prism with a worker process."""
    return ["--runner=PrismRunner", f"--prism_location={_PRISM}", *_process_workers(folder)]


INSTALLED = [
    pytest.param(engine, id=engine.__name__, marks=pytest.mark.skipif(not path.exists(), reason=how))
    for engine, path, how in (
        (flink, _JOB_SERVER, f"no {_JOB_SERVER}; 'make recap-flink' fetches it (needs Java and Maven)"),
        (prism, _PRISM, f"no {_PRISM}; 'make recap-prism' builds it (needs Go)"),
    )
]


def _process_workers(folder: Path) -> list[str]:
    settings = {"command": str(worker_command(folder))}
    return ["--environment_type=PROCESS", f"--environment_config={json.dumps(settings)}"]


@contextlib.contextmanager
def beam_services(folder: Path) -> Iterator[list[str]]:
    """Beam's own job service and worker pool, in processes of their own; gives the flags for them."""
    job_port, pool_port = _free_port(), _free_port()
    commands = [
        ["portability.local_job_service_main", "--port", str(job_port), "--staging_dir", str(folder / "staged")],
        [
            "worker.worker_pool_main",
            "--service_port",
            str(pool_port),
            f"--container_executable={worker_command(folder)}",
        ],
    ]
    with contextlib.ExitStack() as stack:
        for module, *arguments in commands:
            started = subprocess.Popen(
                [sys.executable, "-m", f"apache_beam.runners.{module}", *arguments],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_stop, started)
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool_port}",
        ]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]
