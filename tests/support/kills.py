"""Kills runs at random moments, and starts the same command again each time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from support.recap_runs import ROOT

_POLL_S = 0.002


class Run(Protocol):
    """A run of the command that is under way."""

    def poll(self) -> int | None: ...

    def wait(self, timeout_s: float = 120) -> int: ...

    def kill(self, *, group: bool = True) -> None: ...


class CommandRun:
    """``python -m pipelines.recap`` as a user starts it, in a process group of its own.

    Args:
      said: the file for what it says.
      flags: its flags.
    """

    def __init__(self, said: Path, flags: Sequence[str]) -> None:
        command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", *flags]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        with said.open("w") as file:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=file, env=environment, start_new_session=True)
        self.said = said

    def poll(self) -> int | None:
        return self.process.poll()

    def wait(self, timeout_s: float = 120) -> int:
        return self.process.wait(timeout_s)

    def kill(self, *, group: bool = True) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL) if group else self.process.kill()
        self.process.wait()


def _begun(output: Path, since: float) -> bool:
    return True


def _kept_some(output: Path, since: float) -> bool:
    return _changed(output / "_checkpoint" / "outcomes", since)


def _assembling(output: Path, since: float) -> bool:
    return _changed(output / "data", since)


def _summing_up(output: Path, since: float) -> bool:
    return any("summary" in path.name and _time(path) >= since for path in output.glob("*"))


def _changed(folder: Path, since: float) -> bool:
    """Whether something in a folder is newer, finished or not."""
    return any(_time(path) >= since for path in [folder, *folder.glob("*"), *folder.glob("*/*")])


def _time(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


# What to wait for, and the longest time from then to the kill, as a share of a quiet run's time.
MOMENTS: dict[str, tuple[Callable[[Path, float], bool], float]] = {
    "any time": (_begun, 1.0),
    "outcomes are written": (_kept_some, 0.3),
    "final files are written": (_assembling, 0.1),
    "the summary is written": (_summing_up, 0.02),
}


def kill_and_resume(
    start: Callable[[Path], Run],
    folder: Path,
    check: Callable[[Path], None],
    *,
    kills: int,
    seed: int,
    quiet_s: float,
    main_only: bool = False,
) -> Counter[str]:
    """Kills runs until it has done so often enough, and lets the last one end.

    A run that ends before its moment is checked, and the next one begins anew.

    Args:
      start: starts the command with that output directory.
      folder: for the output directories.
      check: looks at the output of a run that ended.
      kills: how many.
      seed: of the moments.
      quiet_s: how long an undisturbed run takes.
      main_only: kill the command's own process, and not those it started.

    Returns:
      How many were killed at which kind of moment.
    """
    chance = random.Random(seed)
    names = [name for _ in range(kills) for name in MOMENTS]
    killed: Counter[str] = Counter()
    rounds = 0
    output = folder / f"killed-{rounds}"
    moments = iter(names)
    while killed.total() < kills:
        name = next(moments)
        until, longest = MOMENTS[name]
        begun = time.time()
        run = start(output)
        while run.poll() is None and not until(output, begun - 0.01):
            time.sleep(_POLL_S)
        at = time.monotonic() + chance.uniform(0, longest * quiet_s)
        while run.poll() is None and time.monotonic() < at:
            time.sleep(_POLL_S)
        if run.poll() is None:
            run.kill(group=not main_only)
            killed[name] += 1
        else:
            _finish(run, output, check)
            rounds += 1
            output = folder / f"killed-{rounds}"
    _finish(start(output), output, check)
    return killed


def _finish(run: Run, output: Path, check: Callable[[Path], None]) -> None:
    status = run.wait()
    assert status == 0, run.said.read_text()
    check(output)
