"""Runs of the main job in processes that need no start-up: forked from one that has imported everything.

``python tests/support/fork_server.py`` is the process that forks; `ForkServer` speaks with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class ForkedRun:
    """A run of the command, in a process group of its own."""

    def __init__(self, server: ForkServer, pid: int, said: Path) -> None:
        self.pid = pid
        self.said = said
        self._server = server
        self._status: int | None = None

    def poll(self) -> int | None:
        """As `Popen.poll`."""
        if self._status is None:
            self._status = self._server.ask({"poll": self.pid})
        return self._status

    def wait(self, timeout_s: float = 120) -> int:
        """The exit status."""
        deadline = time.monotonic() + timeout_s
        while self.poll() is None:
            assert time.monotonic() < deadline, f"the run does not end: {self.said.read_text()}"
            time.sleep(0.005)
        return self.poll()

    def kill(self, *, group: bool = True) -> None:
        """SIGKILL to the run's process, and to those it started, and waits for its end."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self.pid, signal.SIGKILL) if group else os.kill(self.pid, signal.SIGKILL)
        self.wait()


class ForkServer:
    """Forks runs, as a context manager.

    Args:
      folder: where what runs say is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0

    def __enter__(self) -> ForkServer:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)

    def start(self, *flags: str) -> ForkedRun:
        """``python -m pipelines.recap`` with these flags."""
        self._runs += 1
        said = self._folder / f"run-{self._runs:03d}.stderr"
        return ForkedRun(self, self.ask({"start": flags, "stderr": str(said)}), said)

    def ask(self, question: dict[str, Any]) -> Any:
        """One question, one answer."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve() -> None:
    from pipelines import recap  # everything that a run of it imports

    # A fork takes along no other threads, but the locks that they hold. (Arrow's allocator frees its own.)
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    if len(set(threads) - {"jemalloc_bg_thd"}) > 1 or threading.active_count() > 1:
        raise RuntimeError(f"threads run after the imports, whose locks would be forked: {threads}")
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            pid = os.fork()
            if pid == 0:
                _run(recap.main, question["start"], question["stderr"])
            answer: int | None = pid
        else:
            pid, status = os.waitpid(question["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)


def _run(main: Any, flags: Sequence[str], said: str) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing, file = os.open(os.devnull, os.O_RDWR), os.open(said, os.O_WRONLY | os.O_CREAT)
    for number, target in ((0, nothing), (1, nothing), (2, file)):
        os.dup2(target, number)
    os._exit(main(["--runner=DirectRunner", *flags]))


if __name__ == "__main__":
    _serve()
