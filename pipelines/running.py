"""What every pipeline's command shares: the local runner, and how its process ends."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_recap.flag import ConfigError
from beam_recap.isolation import describe_error
from beam_recap.logs import log_plainly


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
      0: done; 1: failed; 2: cannot be used so; 130: interrupted (the process ends at once then).
    """
    if "--help" in argv or "-h" in argv:
        print(format_help(prog))
        return 0
    log_plainly()
    # Threads that spin while they wait cost more than they gain where cores are shared. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        run(argv)
    except ConfigError as error:
        _say(prog, str(error))
        return 2
    except (Exception, KeyboardInterrupt) as error:
        # Beam's in-process engine wraps an interrupt into a RuntimeError.
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            _say(prog, if_interrupted)
            leave(130)
        traceback.print_exc()
        _say(prog, f"failed ({describe_error(error)}){if_failed}")
        return 1
    return 0


def _say(prog: str, text: str) -> None:
    print(f"{prog}: {text}", file=sys.stderr)


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
