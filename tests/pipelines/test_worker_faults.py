"""What a run stands on gives way: a worker process, a model, the network. It ends clearly, or goes on without."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.recap_runs import ROOT, assert_accounts, final_bytes, kept, reasons, rejected, run_command, run_here
from support.shards import jpeg, write_parquet, write_tar
from support.slow_command import ROWS, Command
from support.web_server import WebServer

from beam_recap.models.captioner import Captioner
from beam_recap.records import Reason

GOES_ON = "; finished rows are kept, and the same command goes on from there."
NO_MODELS = ("--captioner=none", "--clip_model=none")


def log_of(paragraph: str) -> str:
    """The log that a paragraph names, which is then deleted."""
    path = Path(paragraph.split()[-1])
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    path.unlink()
    return text


def test_killed_worker(tmp_path):
    with WebServer({"/a.jpg": jpeg(60, 60, "red")}) as web:
        command = Command(tmp_path, web, 0.1, "multi_processing", 2, *NO_MODELS)
        command.wait_until(lambda: len(web.requests) >= 100)
        last = command.kill_worker().splitlines()[-1]
    assert last.startswith("python -m pipelines.recap: failed (a worker process is gone: ")
    assert f"{GOES_ON} The part of the input that was begun last is {tmp_path}/in.parquet[" in last
    assert "give fewer workers (--direct_num_workers) or smaller batches" in last
    assert "Worker subprocess exited" in log_of(last)
    assert 0 < command.outcomes() < 100  # the other worker's


PICTURES = 96


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    samples = [
        {"__key__": f"{row:05d}", "jpg": jpeg(60, 60, (2 * row, 50, 100)), "txt": b"a picture"}
        for row in range(PICTURES)
    ]
    return str(write_tar(tmp_path_factory.mktemp("shard") / "in.tar", samples))


class Model:
    """Stands before the captioner's model; `fails` says by the number of the call, from 0, what it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: dict[range, Exception] = {}
        self.calls = 0
        self.pictures = 0
        generate = Captioner._generate

        def stand_in(captioner: Captioner, images: Any, *arguments: Any, **options: Any) -> Any:
            call = self.calls
            self.calls += 1
            for calls, error in self.fails.items():
                if call in calls:
                    raise error
            self.pictures += len(images)
            return generate(captioner, images, *arguments, **options)

        monkeypatch.setattr(Captioner, "_generate", stand_in)


@pytest.fixture
def model(monkeypatch) -> Model:
    return Model(monkeypatch)


def caption(tar: str, output: Any, *flags: str) -> int:
    return run_here(
        f"--input={tar}", f"--output={output}", "--caption_engine=generate", "--caption_batch_size=8", *flags
    )


def test_model_that_fails_for_a_while(tar, tmp_path, model):
    assert caption(tar, tmp_path / "quiet") == 0
    # A batch of eight that fails is tried in halves down to single rows: fifteen calls.
    model.calls, model.fails = 0, {range(2, 2 + 15): RuntimeError("the driver hiccups")}
    output = tmp_path / "out"
    assert caption(tar, output) == 0
    assert_accounts(output, PICTURES)
    assert reasons(output) == {"model_error": 8}
    assert all("the driver hiccups" in row["detail"] for row in rejected(output))
    model.fails, model.pictures = {}, 0
    assert caption(tar, output) == 0
    assert model.pictures == 0  # without being told to, it does nothing again
    assert caption(tar, output, "--retry=transient") == 0
    assert model.pictures == 8
    assert final_bytes(output) == final_bytes(tmp_path / "quiet")


def test_lost_device(tar, tmp_path, model, capfd):
    assert caption(tar, tmp_path / "quiet") == 0
    model.calls, model.fails = 0, {range(10, 1000): RuntimeError("CUDA error: device-side assert triggered")}
    output = tmp_path / "out"
    assert caption(tar, output) == 1
    said = capfd.readouterr().err
    last = said.splitlines()[-1]
    assert last.startswith("python -m pipelines.recap: failed (FatalModelError: ")
    assert f"CUDA error: device-side assert triggered) in the stage CaptionImage{GOES_ON}" in last
    assert "restart the machine" in last
    assert "Traceback" not in said and "Traceback" in log_of(last)
    assert not (output / "data").exists()
    files = (output / "_checkpoint" / "outcomes").rglob("[0-9]*.parquet")
    finished = sum(pq.read_metadata(path).num_rows for path in files)
    assert finished >= 32  # a batch of the second scoring
    model.fails, model.pictures = {}, 0
    assert caption(tar, output) == 0
    assert model.pictures == PICTURES - finished
    assert final_bytes(output) == final_bytes(tmp_path / "quiet")


class Outage(WebServer):
    """A web whose connections break after a while, as long as it `is_down`."""

    is_down = False
    broken = 0

    def count(self, path: str, headers: Any) -> int:
        if self.is_down:
            self.broken += 1
            time.sleep(0.1)
            raise ConnectionResetError
        return super().count(path, headers)


@pytest.fixture
def web() -> Iterator[Outage]:
    with Outage({"/a.jpg": jpeg(60, 60, "red")}, place=("0.0.0.0", 0)) as web:
        yield web


@pytest.mark.slow
def test_network_that_is_gone_for_a_while(tmp_path, web):
    # A site for every ten rows: those that were asked for nothing meanwhile are not taken for dead.
    urls = [web.url(f"/slow/0.02/a.jpg?{row}", host=f"127.0.0.{2 + row // 10}") for row in range(ROWS)]
    shard = tmp_path / "in.parquet"
    write_parquet(shard, {"url": urls, "text": ["a"] * ROWS})
    output = tmp_path / "out"
    flags = [f"--input={shard}", *NO_MODELS, "--allow_private_hosts=true", "--fetch_concurrency=4", "--fetch_retries=0"]
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", f"--output={output}", *flags]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for condition, is_down in ((lambda: len(web.requests) >= 100, True), (lambda: web.broken >= 20, False)):
        deadline = time.monotonic() + 120
        while not condition() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        web.is_down = is_down
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert_accounts(output, ROWS)
    lost = {row["url"] for row in rejected(output)}
    assert len(lost) >= 20
    assert all(Reason(reason).is_transient for reason in reasons(output)), reasons(output)
    assert kept(output).num_rows >= 200  # more than had come before
    web.requests.clear()
    healed = run_command(f"--output={output}", *flags, "--retry=transient")
    assert healed.returncode == 0, healed.stderr
    assert web.requests.total() == len(lost)
    assert kept(output).num_rows == ROWS
    quiet = run_command(f"--output={tmp_path}/quiet", *flags)
    assert quiet.returncode == 0, quiet.stderr
    assert final_bytes(output) == final_bytes(tmp_path / "quiet")
