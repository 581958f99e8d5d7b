"""The main job, unchanged, on engines with workers of their own: the final files are DirectRunner's, byte for byte."""

from __future__ import annotations

import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support import engines
from support.recap_runs import ROOT, assert_accounts, final_bytes, summary
from support.shards import jpeg, write_parquet
from support.signals import heed_interrupts
from support.web_server import WebServer

from beam_recap.demo.draw import draw_scene
from beam_recap.demo.scenes import alt_text, random_scene
from beam_recap.demo.shard import make_shard

ROWS = 2 * 6 + 6


def _command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "pipelines.recap", *flags]


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(_command(*flags), cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags: tars of drawn scenes and a table of paths, in several units and files; every stage is on."""
    folder = tmp_path_factory.mktemp("input")
    for part in range(2):
        make_shard(folder / f"part-{part}.tar", rows=6, seed=part)
    pictures = tmp_path_factory.mktemp("pictures")
    rng = random.Random(1)
    urls, texts = [], []
    for row in range(6):
        scene = random_scene(rng)
        data = io.BytesIO()
        draw_scene(scene, rng, side=300).save(data, "JPEG")
        path = pictures / f"{row}.jpg"
        if row != 3:  # a row that fails
            path.write_bytes(data.getvalue())
        urls.append(f"file://{path}")
        texts.append(alt_text(scene, rng))
    write_parquet(folder / "rows.parquet", {"url": urls, "text": texts})
    return [
        f"--input={folder}",
        "--preset=recap-debiased",
        "--allow_local_files=true",
        "--unit_rows=3",
        "--rows_per_file=8",
        "--extra_columns=true",
    ]


@pytest.fixture(scope="module")
def direct(shards: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("direct") / "out"
    done = _run("--runner=DirectRunner", *shards, f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert_accounts(output, ROWS)
    return output


def _counts(output: Path) -> dict[str, object]:
    counts = summary(output)["counts"]
    return {
        name: [{key: value for key, value in stage.items() if not re.search("seconds|ms|_s$", key)} for stage in count]
        if name == "by_stage"
        else count
        for name, count in counts.items()
    }


def _check(flags: list[str], shards: list[str], direct: Path, output: Path) -> None:
    done = _run(*flags, *shards, f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert final_bytes(output) == final_bytes(direct)
    assert _counts(output) == _counts(direct)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_beams_own_job_service(shards, direct, tmp_path):
    with engines.beam_services(tmp_path) as flags:
        _check(flags, shards, direct, tmp_path / "out")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", engines.INSTALLED)
def test_engine(engine, shards, direct, tmp_path):
    """Also once more, when there is nothing left to do."""
    flags = engine(tmp_path)
    _check(flags, shards, direct, tmp_path / "out")
    written = sorted((tmp_path / "out" / "_checkpoint" / "outcomes").rglob("*.parquet"))
    _check(flags, shards, direct, tmp_path / "out")
    assert sorted((tmp_path / "out" / "_checkpoint" / "outcomes").rglob("*.parquet")) == written


@pytest.mark.parametrize("engine", engines.INSTALLED)
@pytest.mark.parametrize(("signal_sent", "status"), [(signal.SIGINT, 130), (None, 1)], ids=["interrupt", "dead_worker"])
def test_engine_ends_early(engine, signal_sent, status, tmp_path):
    """Interrupted, or a worker is killed: a sentence, an exit status, no process left."""
    flags = engine(tmp_path)
    with WebServer({"/a.jpg": jpeg(60, 60)}) as web:
        write_parquet(tmp_path / "in.parquet", {"url": [web.url("/slow/1/a.jpg")] * 300, "text": ["a"] * 300})
        job = ["--captioner=none", "--clip_model=none", "--allow_private_hosts=true", "--fetch_concurrency=2"]
        command = _command(*flags, *job, f"--input={tmp_path}/in.parquet", f"--output={tmp_path}/out")
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
        deadline = time.monotonic() + 120
        while not web.requests and time.monotonic() < deadline:
            time.sleep(0.1)
        assert web.requests
        started = psutil.Process(process.pid).children(recursive=True)
        workers = [one for one in started if "beam_recap.engine_worker" in one.cmdline()]
        assert workers
        if signal_sent is not None:
            process.send_signal(signal_sent)
        else:
            workers[0].kill()
        _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert "the same command goes on" in said
    _, left = psutil.wait_procs(started, timeout=20)
    assert not left
