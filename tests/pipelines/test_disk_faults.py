"""A disk that is full or read-only: one sentence, nothing half done, and the same command goes on afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.recap_runs import ROOT, assert_accounts, final_bytes, run_here
from support.shards import jpeg, write_parquet
from support.small_disk import SmallDisk, can_mount

ROWS = 2000
GOES_ON = "; put that right; finished rows are kept, and the same command goes on from there."
needs_mounts = pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount a disk of his own")


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("shard")
    (folder / "a.jpg").write_bytes(jpeg(40, 40, "red"))
    # Texts that do not compress: what a run leaves behind grows with its rows.
    captions = [os.urandom(200).hex() for _ in range(ROWS)]
    write_parquet(folder / "in.parquet", {"url": [str(folder / "a.jpg")] * ROWS, "text": captions})
    return [
        f"--input={folder}/in.parquet",
        "--captioner=none",
        "--clip_model=none",
        "--allow_local_files=true",
        "--unit_rows=500",
        "--rows_per_file=1000",
    ]


@pytest.fixture(scope="module")
def expected(flags, tmp_path_factory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("quiet") / "out"
    assert run_here(*flags, f"--output={output}") == 0
    return final_bytes(output)


def run_on(disk: SmallDisk | None, flags: list[str], output: Path, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", *flags, f"--output={output}"]
    if disk is not None:
        command = disk.command(*command)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


def size_of(folder: Path) -> int:
    # A disk in memory gives whole pages.
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def assert_whole(output: Path) -> None:
    """What has its final name can be read to its end."""
    for path in [*output.glob("data/train-*"), *output.glob("rejected/part-*")]:
        pq.read_table(path)
    for path in (output / "_checkpoint" / "outcomes").rglob("[0-9]*.parquet"):
        pq.read_table(path)


@needs_mounts
@pytest.mark.parametrize(
    ("phase", "mode", "workers"),
    [
        ("checkpoint", "in_memory", 1),
        pytest.param("checkpoint", "multi_processing", 2, marks=pytest.mark.slow),
        ("final files", "in_memory", 1),
    ],
)
def test_full_disk(flags, expected, tmp_path, phase, mode, workers):
    flags = [*flags, f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    captions = ROWS * 200  # bytes of them, however they are written
    size = captions // 2 if phase == "checkpoint" else 2 * captions
    with SmallDisk(tmp_path / "disk", size) as disk:
        output = disk.folder / "out"
        full = run_on(disk, flags, output)
        seen = disk.seen_from_here / "out"
        assert full.returncode == 1, full.stderr
        last = full.stderr.splitlines()[-1]
        assert last.startswith(f"python -m pipelines.recap: {output}/")
        assert f" cannot be written, because no space is left on its device{GOES_ON}" in last
        kept = list((seen / "_checkpoint" / "outcomes").rglob("[0-9]*.parquet"))
        if phase == "checkpoint":
            assert not (seen / "data").exists()
        else:
            assert f"{output}/_checkpoint/outcomes" not in last
            assert sum(pq.read_metadata(path).num_rows for path in kept) == ROWS
        assert_whole(seen)
        assert not list(seen.rglob(".tmp-*"))
        disk.remount(f"size={20 * captions}")
        done = run_on(disk, flags, output)
        assert done.returncode == 0, done.stderr
        assert final_bytes(seen) == expected
        assert_accounts(seen, ROWS)
        assert set(kept) <= set((seen / "_checkpoint" / "outcomes").rglob("*.parquet"))


def test_files_may_not_grow(flags, expected, tmp_path):
    """The same without a disk of its own: a process that may write only small files."""
    output = tmp_path / "out"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    full = run_on(None, flags, output, preexec_fn=limit)
    assert full.returncode == 1, full.stderr
    last = full.stderr.splitlines()[-1]
    assert last.startswith(f"python -m pipelines.recap: {output}/")
    assert f"no larger file{GOES_ON}" in last
    assert_whole(output)
    assert not list(output.rglob(".tmp-*"))
    assert run_here(*flags, f"--output={output}") == 0
    assert final_bytes(output) == expected


@needs_mounts
def test_read_only_from_the_start(flags, tmp_path):
    with SmallDisk(tmp_path / "disk", 2**20) as disk:
        disk.remount("ro")
        for output in (disk.folder, disk.folder / "out"):
            refused = run_on(disk, flags, output)
            assert refused.returncode == 2, refused.stderr
            (line,) = refused.stderr.splitlines()
            assert f"--output={output}: cannot be written, because {disk.folder} is read-only" in line


@pytest.mark.slow
@needs_mounts
def test_read_only_when_it_is_to_go_on(flags, expected, tmp_path):
    with SmallDisk(tmp_path / "disk", 20 * ROWS * 200) as disk:
        output = disk.folder / "out"
        assert run_on(disk, flags, output).returncode == 0
        disk.remount("ro")
        refused = run_on(disk, flags, output)
        assert refused.returncode == 2, refused.stderr
        (line,) = refused.stderr.splitlines()
        assert "read-only" in line
        assert str(output) in line
        disk.remount("rw")
        done = run_on(disk, flags, output)
        assert done.returncode == 0, done.stderr
        assert final_bytes(disk.seen_from_here / "out") == expected
