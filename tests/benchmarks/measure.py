"""What a command costs: CPU time, wall time and memory of its processes, children included."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_S = 0.1  # how often memory is looked at
_TAIL_CHARS = 4000  # of the output of a command that failed


@dataclass(frozen=True)
class Cost:
    """What one or several commands cost together.

    Attributes:
      cpu_s: user and system time of all their processes.
      wall_s: from the start of the first to the end of the last.
      process_bytes: peak resident memory of the largest process, by the kernel's high-water mark.
      total_bytes: peak of the sum over all processes, looked at ten times a second. Pages that processes share count
        once for each.
    """

    cpu_s: float
    wall_s: float
    process_bytes: int
    total_bytes: int


class CommandFailed(RuntimeError):
    """A measured command ended with another status than 0."""


def run_measured(commands: Sequence[Sequence[str]], environment: Mapping[str, str], timeout_s: float) -> Cost:
    """Runs commands at the same time, until the last one ends.

    Args:
      commands: programs with their arguments.
      environment: the whole environment of each.
      timeout_s: all are killed after so many seconds.

    Raises:
      CommandFailed: a command ended with another status than 0, or too late; the message has the end of its output.
    """
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        start = time.monotonic()
        processes = [
            subprocess.Popen(
                list(command), env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            for command, output in zip(commands, outputs, strict=True)
        ]
        killer = threading.Timer(timeout_s, lambda: [_kill_tree(process.pid) for process in processes])
        killer.start()
        stack.callback(killer.cancel)
        with _MemorySampler([process.pid for process in processes]) as memory:
            cpu_s = 0.0
            for process in processes:
                # wait4 also counts what the process has itself waited for.
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                cpu_s += usage.ru_utime + usage.ru_stime
            wall_s = time.monotonic() - start
        for process, output in zip(processes, outputs, strict=True):
            if process.returncode != 0:
                output.seek(0)
                text = output.read().decode("utf-8", "replace")[-_TAIL_CHARS:]
                raise CommandFailed(f"{process.args} ended with status {process.returncode}:\n{text}")
    return Cost(cpu_s, wall_s, memory.process_bytes, memory.total_bytes)


class _MemorySampler:
    """Watches the memory of processes and their descendants, on a thread of its own.

    `ru_maxrss` would not do: a new process starts with the peak of the one that forked it.
    """

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = roots
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.process_bytes = 0
        self.total_bytes = 0

    def __enter__(self) -> _MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            total = 0
            for number in _descendants(self._roots):
                now, peak = _read_memory(number)
                total += now
                self.process_bytes = max(self.process_bytes, peak)
            self.total_bytes = max(self.total_bytes, total)


def _descendants(roots: Sequence[int]) -> list[int]:
    """The processes themselves, and all below them."""
    found = list(roots)
    for number in found:  # grows while it is walked
        with contextlib.suppress(OSError, ValueError):
            for task in Path(f"/proc/{number}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _read_memory(number: int) -> tuple[int, int]:
    """Resident bytes of a process, now and at most so far; 0 if it is gone."""
    values = {"VmRSS": 0, "VmHWM": 0}
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{number}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in values:
                values[name] = int(value.split()[0]) * 1024
    return values["VmRSS"], values["VmHWM"]


def _kill_tree(root: int) -> None:
    for number in reversed(_descendants([root])):
        with contextlib.suppress(OSError):
            os.kill(number, 9)
