"""What every pipeline's command shares: the local runner, and how its process ends."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_recap.ending import end, heed_signals, is_ending, status_of
from beam_recap.flag import ConfigError
from beam_recap.isolation import describe_error
from beam_recap.logs import log_plainly
from pipelines.local_runner import LocalRunner

_WORKER_THREAD = "run_worker"  # Beam's, of the command's process: waits for a worker process and raises if it failed
_CONTROL_THREAD = "beam_control_read"  # fails with it
_SIGNAL_S = 0.5  # in which a signal to command and workers has reached the command, too

# What the system says of a file that it does not take.
_DISK = {
    5: "its device fails",
    27: "a limit of this process or of the file system allows no larger file",
    28: "no space is left on its device",
    30: "its file system is read-only",
    122: "the disk quota is used up",
}
_DISK_ERROR = re.compile(r"\[Errno (\d+)\] [^:\n]*: '([^'\n]+)'")


def run_command(
    prog: str,
    argv: Sequence[str],
    run: Callable[[Sequence[str]], object],
    format_help: Callable[[str], str],
    *,
    if_interrupted: str,
    if_failed: str = "",
) -> int:
    """A whole command: help, messages that are one sentence, and an exit status.

    Args:
      prog: what it is called in messages.
      argv: its arguments.
      run: does the work, or raises.
      format_help: the text of ``--help``, for `prog`.
      if_interrupted: what is to be known of a run that was interrupted.
      if_failed: what is to be known of one that failed, after the error.

    Returns:
      0: done; 1: failed; 2: cannot be used so. When SIGINT or SIGTERM comes or a worker process dies, the process ends
      at once: with 130, 143 or 1.
    """
    if "--help" in argv or "-h" in argv:
        print(format_help(prog))
        return 0
    log_plainly()
    # Threads that spin while they wait cost more than they gain where cores are shared. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with (
            heed_signals(lambda number: end(status_of(number), f"{prog}: {if_interrupted}")),
            _noticing_dead_workers(lambda problem: end(1, f"{prog}: failed ({problem}){if_failed}")),
        ):
            run(argv)
    except ConfigError as error:
        _say(prog, str(error))
        return 2
    except KeyboardInterrupt:  # of a library that has seen the signal for itself
        end(130, f"{prog}: {if_interrupted}")
    except Exception as error:
        if is_ending():
            end(1)  # which is why it failed
        if not isinstance(error, grpc.RpcError):
            traceback.print_exc()
        _say(prog, f"{_describe_failure(error)}{if_failed}")
        return 1
    return 0


def _say(prog: str, text: str) -> None:
    print(f"{prog}: {text}", file=sys.stderr)


def _describe_failure(error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        return f"failed (the engine is gone: {error.details() or error.code().name})"
    text = str(error)
    disk = [(int(number), path) for number, path in _DISK_ERROR.findall(text) if int(number) in _DISK]
    if disk:
        number, path = disk[-1]
        return f"{path} cannot be written, because {_DISK[number]}; put that right"
    is_of_worker = "Traceback (most recent call last)" in text  # whose last line says what happened
    said = text.strip().splitlines()[-1] if is_of_worker else describe_error(error)
    return f"failed ({said.split(' [while running ')[0]})"


@contextmanager
def _noticing_dead_workers(notice: Callable[[str], object]) -> Iterator[None]:
    """Beam waits for ever for the answer of a worker process that is gone; here `notice` is told of it, on a thread."""

    def hook(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread is not None else ""
        if name == _WORKER_THREAD:
            time.sleep(_SIGNAL_S)
            notice(f"a worker process is gone: {arguments.exc_value}; if it was killed, memory may have run out")
        elif name != _CONTROL_THREAD and not is_ending():
            before(arguments)

    before, threading.excepthook = threading.excepthook, hook
    try:
        yield
    finally:
        threading.excepthook = before


def use_in_process_runner(options: PipelineOptions) -> bool:
    """Runs DirectRunner as the in-process engine that users expect, `LocalRunner`; says whether the run is local.

    Beam 2.77's DirectRunner may download and start another engine first, and which one it takes depends on the graph.
    """
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner", "FnApiRunner"):
        standard.runner = f"{LocalRunner.__module__}.{LocalRunner.__name__}"
        return True
    return False
