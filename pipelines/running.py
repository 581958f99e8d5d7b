"""What every pipeline's command shares: the local runner, and how its process ends."""

from __future__ import annotations

import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_recap.crash_log import write_crash_log
from beam_recap.ending import end, heed_signals, is_ending, status_of
from beam_recap.failures import advice_for, describe_failure
from beam_recap.flag import ConfigError
from beam_recap.flag_values import boolean
from beam_recap.logs import log_plainly
from beam_recap.progress import PROGRESS, Phase
from beam_recap.terminal import TERMINAL, VERBOSE
from pipelines.local_runner import LocalRunner

_WORKER_THREAD = "run_worker"  # Beam's, of the command's process: waits for a worker process and raises if it failed
_CONTROL_THREAD = "beam_control_read"  # fails with it
_SIGNAL_S = 0.5  # in which a signal to command and workers has reached the command, too
_VERBOSE_FLAG = "--verbose"


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
    try:
        argv, verbose = _take_verbose(argv)
    except ConfigError as error:
        TERMINAL.say(f"{prog}: {error}")
        return 2
    command = _Command(prog, argv, if_failed, verbose)
    # Threads that spin while they wait cost more than they gain where cores are shared. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _showing_only_our_lines(verbose):
        try:
            with (
                heed_signals(lambda number: end(status_of(number), f"{prog}: {if_interrupted}")),
                _noticing_dead_workers(command.end_without_worker),
            ):
                run(argv)
        except ConfigError as error:
            TERMINAL.say(f"{prog}: {error}")
            return 2
        except KeyboardInterrupt:  # of a library that has seen the signal for itself
            end(130, f"{prog}: {if_interrupted}")
        except Exception as error:
            if is_ending():
                end(1)  # which is why it failed
            command.tell_failure(error)
            return 1
    return 0


def is_verbose() -> bool:
    """Whether the command shows everything that anybody logs."""
    return VERBOSE in os.environ


def _take_verbose(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--verbose``, which is about the command and not about its work, and its value."""
    words, verbose = [], False
    for word in argv:
        name, has_value, value = word.partition("=")
        if name != _VERBOSE_FLAG:
            words.append(word)
            continue
        try:
            verbose = boolean(value) if has_value else True
        except ValueError as error:
            raise ConfigError("verbose", value, str(error)) from None
    return words, verbose


@contextmanager
def _showing_only_our_lines(verbose: bool) -> Iterator[None]:
    log_plainly(verbose=verbose)
    PROGRESS.watch()
    with warnings.catch_warnings():
        if verbose:
            os.environ[VERBOSE] = "1"
            warnings.simplefilter("default")
        else:
            os.environ.pop(VERBOSE, None)
            TERMINAL.set_aside()
        try:
            yield
        finally:
            TERMINAL.give_back()


class _Command:
    """How a command says that it failed: a paragraph on the terminal, the trace in a file."""

    def __init__(self, prog: str, argv: Sequence[str], if_failed: str, verbose: bool):
        self._prog = prog
        self._argv = argv
        self._if_failed = if_failed
        self._verbose = verbose

    def tell_failure(self, error: Exception) -> None:
        """The command has failed, and goes on to its end."""
        TERMINAL.say(self._paragraph(describe_failure(error), advice_for(error), error))
        if self._verbose:
            TERMINAL.say("".join(traceback.format_exception(error)).rstrip())

    def end_without_worker(self, error: BaseException | None) -> None:
        """A worker process is gone, for which Beam would wait for ever."""
        problem = f"failed (a worker process is gone: {error}; if it was killed, memory may have run out)"
        advice = "If it happens again, give fewer workers (--direct_num_workers) or smaller batches"
        end(1, self._paragraph(problem, advice, error))

    def _paragraph(self, problem: str, advice: str, error: BaseException | None) -> str:
        trace = "".join(traceback.format_exception(error)) if error is not None else "(there is none)"
        told = f"{self._prog}: {problem}{self._if_failed}."
        unit = PROGRESS.counts().unit
        if unit and PROGRESS.phase is Phase.ROWS:
            told += f" The part of the input that was begun last is {unit}."
        if advice:
            told += f" {advice}."
        path = write_crash_log(self._prog, self._argv, trace)
        return told if path is None else f"{told} The trace and what libraries said are in {path}"


@contextmanager
def _noticing_dead_workers(notice: Callable[[BaseException | None], object]) -> Iterator[None]:
    """Beam waits for ever for the answer of a worker process that is gone; here `notice` is told why, on a thread."""

    def hook(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread is not None else ""
        if name == _WORKER_THREAD:
            time.sleep(_SIGNAL_S)
            notice(arguments.exc_value)
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
    TERMINAL.give_back()  # other engines say what happens, and nobody else does
    return False
