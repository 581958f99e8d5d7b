"""Killed at random moments and started again, as often as it takes: the same bytes as of an undisturbed run."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.fork_server import ForkedRun, ForkServer
from support.kills import kill_and_resume
from support.recap_runs import assert_accounts, final_bytes
from support.shards import jpeg, write_parquet

ROWS = 1800
FLAGS = (
    "--captioner=none",
    "--clip_model=none",
    "--allow_local_files=true",
    "--unit_rows=300",
    "--rows_per_file=400",
    "--extra_columns=true",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of rows that name pictures, some of which are none or are not there."""
    folder = tmp_path_factory.mktemp("shards")
    pictures = []
    for number in range(40):
        pictures.append(folder / f"{number}.jpg")
        pictures[-1].write_bytes(jpeg(40 + number, 40, (number, 100, 200)))
    (folder / "broken.jpg").write_bytes(b"no picture")
    chance = random.Random(0)
    for number in range(3):
        urls = chance.choices([*map(str, pictures), f"{folder}/broken.jpg", f"{folder}/missing.jpg"], k=ROWS // 3)
        captions = [f"text {number}, {row}" for row in range(ROWS // 3)]
        write_parquet(folder / f"in-{number}.parquet", {"url": urls, "text": captions})
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with ForkServer(tmp_path_factory.mktemp("said")) as server:
        yield server


@pytest.fixture(scope="module")
def quiet(server: ForkServer, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The final files of an undisturbed run of one worker in memory, and how long it took in seconds."""
    output = tmp_path_factory.mktemp("quiet") / "out"
    started = time.monotonic()
    run = server.start(f"--input={shards}/in-*.parquet", f"--output={output}", *FLAGS)
    assert run.wait() == 0, run.said.read_text()
    assert len(final_bytes(output)) == 2 * 3
    return final_bytes(output), time.monotonic() - started


def assert_same(output: Path, expected: dict[str, bytes]) -> None:
    assert final_bytes(output) == expected
    assert_accounts(output, ROWS)
    assert not list(output.rglob(".tmp-*"))


@pytest.mark.parametrize(
    ("mode", "workers", "kills"),
    [
        ("in_memory", 1, 6),
        pytest.param("in_memory", 1, 12, marks=pytest.mark.slow),
        pytest.param("multi_threading", 2, 6, marks=pytest.mark.slow),
        ("multi_threading", 2, 3),
    ],
)
def test_killed_at_random_moments(server, shards, quiet, tmp_path, mode, workers, kills):
    expected, quiet_s = quiet
    flags = [*FLAGS, f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    killed = kill_and_resume(
        lambda output: server.start(f"--input={shards}/in-*.parquet", f"--output={output}", *flags),
        tmp_path,
        lambda output: assert_same(output, expected),
        kills=kills,
        seed=kills,
        quiet_s=quiet_s,
    )
    assert killed.total() == kills
    assert len(killed) >= 3  # kinds of moments


@pytest.mark.parametrize(("main_only", "kills"), [(False, 1), pytest.param(True, 1, marks=pytest.mark.slow)])
def test_killed_with_worker_processes(server, shards, quiet, tmp_path, main_only, kills):
    """Workers that are not killed with the command end by themselves, and their finished rows are kept."""
    expected, quiet_s = quiet
    flags = [*FLAGS, "--direct_running_mode=multi_processing", "--direct_num_workers=2"]

    commands: list[str] = []

    def start(output: Path) -> ForkedRun:
        if commands:
            assert_no_workers(commands[-1])
        run = server.start(f"--input={shards}/in-*.parquet", f"--output={output}", *flags)
        commands.append(str(run.pid))
        return run

    kill_and_resume(
        start,
        tmp_path,
        lambda output: assert_same(output, expected),
        kills=kills,
        seed=5,
        quiet_s=2 * quiet_s,
        main_only=main_only,
    )


def assert_no_workers(command: str) -> None:
    """The workers of a command's process end soon after it."""
    deadline = time.monotonic() + 10
    while workers := [line for line in _command_lines() if line[-2:] == ["beam_recap.worker_process", command]]:
        assert time.monotonic() < deadline, workers
        time.sleep(0.1)


def _command_lines() -> Iterator[list[str]]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield process.cmdline()
