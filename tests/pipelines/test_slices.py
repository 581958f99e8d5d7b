"""Jobs that share an output directory, each with a slice of the input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.recap_runs import ROOT, final_bytes, kept, rejected, run_here, summary
from support.shards import jpeg, write_tar

ROWS, SHARDS = 60, 5
FLAGS = (
    "--captioner=none",
    "--clip_model=none",
    "--extra_columns=true",
    "--schema=recap",
    "--rows_per_file=20",
    "--drop_duplicate_images=true",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tars of 12 rows; a row in five has no picture, and rows 3 and 40 have the same."""
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        rows: list[dict[str, Any]] = []
        for row in range(shard * 12, shard * 12 + 12):
            data = b"no picture" if row % 5 == 0 else jpeg(40 + (3 if row == 43 else row), 30, "red")
            rows.append({"__key__": f"{row:03d}", "jpg": data, "txt": f"caption {row}".encode()})
        write_tar(folder / f"{shard}.tar", rows)
    return folder


def run(shards: Path, output: Path, *flags: str) -> int:
    return run_here(f"--input={shards}/*.tar", f"--output={output}", *FLAGS, *flags)


def keys(output: Path) -> list[str]:
    return sorted([*kept(output)["key"].to_pylist(), *(row["key"] for row in rejected(output))])


def test_slices_add_up_and_the_whole_makes_one_dataset_of_them(shards: Path, tmp_path: Path) -> None:
    output, quiet = tmp_path / "out", tmp_path / "quiet"
    assert run(shards, output, "--slice=2/3") == 0
    first = keys(output)
    assert 12 <= len(first) < ROWS
    assert summary(output)["counts"]["rows"] == len(first)
    assert summary(output)["slices"] == {"total": 3, "done": [2]}
    assert run(shards, output, "--slice=0/3") == 0
    assert run(shards, output, "--slice=1/3") == 0
    assert keys(output) == [f"{row:03d}" for row in range(ROWS)]
    told = summary(output)
    assert told["slices"] == {"total": 3, "done": [1, 2, 3]}
    assert told["counts"]["rows"] == ROWS == told["counts"]["kept"] + told["counts"]["rejected"]
    assert told["counts"]["kept"] == kept(output).num_rows
    on_disk = {str(path.relative_to(output)) for name in ("data", "rejected") for path in (output / name).iterdir()}
    assert {file["name"] for file in told["files"]} == on_disk
    assert all("slice-0000" in name for name in on_disk)

    # A slice done again does nothing, and changes nothing.
    before = final_bytes(output)
    assert run(shards, output, "--slice=1/3", "--retry=transient") == 0
    assert final_bytes(output) == before

    outcomes = output / "_checkpoint/outcomes"
    checkpointed = {path: path.stat().st_mtime_ns for path in outcomes.rglob("*.parquet")}
    assert run(shards, output) == 0
    assert run(shards, quiet) == 0
    assert final_bytes(output) == final_bytes(quiet)
    assert {path: path.stat().st_mtime_ns for path in outcomes.rglob("*.parquet")} == checkpointed
    assert summary(output)["counts"] | {"by_stage": None} == summary(quiet)["counts"] | {"by_stage": None}
    assert summary(output)["slices"] is None


def test_slices_at_the_same_time(shards: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", f"--input={shards}/*.tar"]
    jobs = [
        subprocess.Popen(
            [*command, f"--output={output}", f"--slice={number}/3", *FLAGS], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for number in (1, 2, 3)
    ]
    told = [job.communicate(timeout=300)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], told
    assert keys(output) == [f"{row:03d}" for row in range(ROWS)]
    assert summary(output)["slices"] == {"total": 3, "done": [1, 2, 3]}
    assert summary(output)["counts"]["rows"] == ROWS
    assert not list(output.rglob(".tmp-*"))


def test_a_slice_without_rows(shards: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run(shards, output, "--slice=7/20") == 0
    assert summary(output)["counts"]["rows"] == 0
    assert kept(output).num_rows == 0


def test_rows_of_one_shard_are_dealt_out_too(tmp_path: Path) -> None:
    from support.shards import write_parquet

    write_parquet(tmp_path / "in.parquet", {"url": [f"nothing://{row}" for row in range(100)], "text": ["a"] * 100})
    sizes = []
    for number in (1, 2, 3):
        output = tmp_path / "out"
        assert run_here(f"--input={tmp_path}/in.parquet", f"--output={output}", *FLAGS, f"--slice={number}/3") == 0
        sizes.append(summary(output)["counts"]["rows"])
    assert sizes[2] == 100
    assert all(25 <= after - before <= 45 for before, after in zip([0, *sizes], sizes, strict=False))


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--slice=4/3"], "--slice=4/3: is beyond the last slice; give 1/3 to 3/3"),
        (["--slice=half"], "--slice=half: is not I/N"),
        (["--slice=1/0"], "--slice=1/0: asks for 0 slices"),
        (["--slice=1/3", "--keep_checkpoint=false"], "--keep_checkpoint=false: would remove what other slices"),
    ],
)
def test_refused(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture, flags: list[str], problem: str) -> None:
    assert run(shards, tmp_path / "out", *flags) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_shard_that_vanished_between_runs(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in shards.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert run(folder, tmp_path / "out") == 0
    before = final_bytes(tmp_path / "out")
    taken = (folder / "3.tar").rename(tmp_path / "3.tar")
    capsys.readouterr()
    assert run(folder, tmp_path / "out") == 2
    assert f"{folder}/3.tar is no longer there since the output directory's first run" in capsys.readouterr().err
    assert final_bytes(tmp_path / "out") == before
    taken.rename(folder / "3.tar")
    assert run(folder, tmp_path / "out") == 0
    assert final_bytes(tmp_path / "out") == before
    (folder / "1.tar").write_bytes((folder / "2.tar").read_bytes())
    assert run(folder, tmp_path / "out") == 2
    assert "1.tar is changed since" in capsys.readouterr().err
    listed = json.loads((tmp_path / "out/_checkpoint/input.json").read_text())
    assert sorted(listed) == [f"{folder}/{number}.tar" for number in range(SHARDS)]
