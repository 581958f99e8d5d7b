"""A local worker process: ``python -m beam_recap.worker_process PID``. It ends with the command's process, PID.

Beam's own workers outlive a killed command, and go on with what they have in hand.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time

from beam_recap.ending import end, heed_signals, status_of

_POLL_S = 0.5


def main(argv: list[str]) -> None:
    """Does what Beam's worker does, until it is done or the command is gone."""
    threading.Thread(target=_end_after, args=(int(argv[1]),), name="follow_command", daemon=True).start()
    with heed_signals(heed_as_worker):
        from beam_recap.progress import PROGRESS

        PROGRESS.tell_command()
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main(argv[:1])


def heed_as_worker(number: int) -> None:
    """Ends the process, unless by Ctrl-C: the command does that."""
    # Ctrl-C goes to all processes of a terminal: the command is among them and ends its workers.
    if number != signal.SIGINT:
        end(status_of(number))


def _end_after(command: int) -> None:
    _wait_for_end(command)
    end(1)


def _wait_for_end(process: int) -> None:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or an old one
        while os.getppid() == process:
            time.sleep(_POLL_S)
        return
    select.select([descriptor], [], [])


if __name__ == "__main__":
    main(sys.argv)
