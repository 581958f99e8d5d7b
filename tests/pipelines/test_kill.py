"""A killed run goes on where it stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from support.recap_runs import ROOT, assert_accounts, run_here
from support.shards import jpeg, write_parquet
from support.signals import heed_interrupts
from support.web_server import WebServer


def _start(*flags: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ), preexec_fn=heed_interrupts
    )


@pytest.mark.slow
def test_kill_and_go_on(tmp_path):
    """What was finished before the kill is not fetched again."""
    with WebServer({"/a.jpg": jpeg(60, 60, "red")}) as web:
        shard = tmp_path / "in.parquet"
        paths = [f"/slow/0.01/a.jpg?row={i}" for i in range(1500)]
        write_parquet(shard, {"url": [web.url(path) for path in paths], "text": ["a"] * len(paths)})
        flags = ["--captioner=none", "--clip_model=none", "--allow_private_hosts=true", "--unit_rows=100"]
        process = _start(f"--input={shard}", f"--output={tmp_path}/out", *flags, "--fetch_concurrency=4")
        outcomes = tmp_path / "out" / "_checkpoint" / "outcomes"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None and not list(outcomes.rglob("[0-9]*.parquet")):
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert list(outcomes.rglob("[0-9]*.parquet"))
        assert not (tmp_path / "out" / "data").exists()
        assert run_here(f"--input={shard}", f"--output={tmp_path}/out", *flags) == 0
        assert_accounts(tmp_path / "out", len(paths))
        twice = sum(count > 1 for count in web.requests.values())
        assert twice <= 1000  # at least the 500 rows of the first flush were not fetched again
