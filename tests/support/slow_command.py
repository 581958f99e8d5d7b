"""The main job on rows of a slow server: a command that can be met at any moment of its work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from support.recap_runs import ROOT
from support.shards import write_parquet
from support.signals import heed_interrupts
from support.web_server import WebServer

ROWS = 400


class Command:
    """The command on rows of a slow server."""

    def __init__(self, folder: Path, web: WebServer, seconds: float, mode: str, workers: int, *flags: str) -> None:
        self.output = folder / "out"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        urls = [web.url(f"/slow/{seconds}/a.jpg?{row}") for row in range(ROWS)]
        write_parquet(folder / "in.parquet", {"url": urls, "text": ["a"] * ROWS})
        command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", f"--input={folder}/in.parquet"]
        command += [f"--output={self.output}", "--allow_private_hosts=true", "--fetch_concurrency=8", "--unit_rows=50"]
        command += [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}", "--rows_per_file=10", *flags]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            preexec_fn=heed_interrupts,
            start_new_session=True,
        )

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not condition() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert self.process.poll() is None, self.process.stderr.read()
        assert condition()

    def signal(self, number: int, *, group: bool, times: int = 1) -> str:
        """Sends a signal, and returns what was said once it has ended as it should."""

        def send() -> None:
            for _ in range(times):
                os.killpg(self.process.pid, number) if group else self.process.send_signal(number)
                time.sleep(0.05 if times > 1 else 0)

        return self.ends_after(send, 128 + number)

    def kill_worker(self) -> str:
        """Kills one of its processes, and returns what was said once it has ended as it should."""
        return self.ends_after(lambda: psutil.Process(self.process.pid).children()[0].kill(), 1)

    def ends_after(self, act: Callable[[], object], status: int) -> str:
        """What was said once it has ended after something: in time, with all that it started, and nothing half done."""
        workers = psutil.Process(self.process.pid).children(recursive=True)
        acted = time.monotonic()
        act()
        _, said = self.process.communicate(timeout=30)
        assert time.monotonic() - acted < 20
        assert self.process.returncode == status, said
        assert not [worker for worker in workers if worker.is_running()]
        logs = list(self.temporary.glob("beam-recap-*.log"))  # of a failure
        assert len(logs) == (status == 1)
        assert [path for path in self.temporary.glob("beam-*") if path not in logs] == []
        for path in [*self.output.glob("data/train-*"), *self.output.glob("rejected/part-*")]:
            pq.read_table(path)
        return said

    def outcomes(self) -> int:
        """Rows in the checkpoint."""
        files = (self.output / "_checkpoint" / "outcomes").rglob("[0-9]*.parquet")
        return sum(pq.read_metadata(path).num_rows for path in files)
