"""Directories of runs: those that can be compared, and those that cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.compared_runs import column, compare, moves, row, write_run, write_table
from support.gcs_server import GcsServer

from beam_recap import files
from beam_recap.compare.settings import CompareError
from beam_recap.records import Reason
from beam_recap.slices import Slice

CLIP = Reason.LOW_CLIP_SCORE


def test_slices_and_strange_directories(tmp_path: Path) -> None:
    outcomes = [row(number, CLIP if number % 3 else None) for number in range(9)]
    a = write_run(tmp_path / "lang=en [a]*", outcomes, files=2, part=Slice(2, 3))
    b = write_run(tmp_path / "b?", outcomes, files=1)
    summary = json.loads((a / "summary.json").read_text())
    (a / "summary.json").write_text(json.dumps({**summary, "slices": {"total": 3, "done": [2]}}))
    write_table(a / "data" / "train-slice-00001-of-00003-00000-of-00001.parquet", pa.table({"x": [1]}))
    found = compare(a, b)
    assert found["rows"]["kept_in_both"] == 3 and not found["differ"]
    assert found["notes"] == [
        "A is not whole: 1 of its 3 slices have ended.",
        "A holds Parquet files that its summary.json does not name; they are left out: "
        "data/train-slice-00001-of-00003-00000-of-00001.parquet.",
    ]


def test_nothing_kept_and_nothing_at_all(tmp_path: Path) -> None:
    empty, rejected = write_run(tmp_path / "a", []), write_run(tmp_path / "b", [row(0, CLIP)])
    found = compare(empty, empty)
    assert (sum(found["rows"].values()), found["differ"], found["accounting"]["adds_up"]) == (0, False, True)
    found = compare(empty, rejected)
    assert found["rows"]["only_in_b"] == 1
    found = compare(rejected, rejected)
    assert found["rows"]["rejected_alike"] == 1
    assert column(found, "re_clip_score")["mean_a"] is None
    assert column(found, "re_clip_score")["changed_share"] is None


def test_rows_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", [row(0), row(1, CLIP)]), write_run(tmp_path / "b", [row(0), row(1, CLIP)])
    summary = json.loads((b / "summary.json").read_text())
    summary["counts"] |= {"rows": 3, "kept": 2}
    (b / "summary.json").write_text(json.dumps(summary))
    assert compare(a, b)["accounting"] == {
        "adds_up": False,
        "problems": [
            "B's files hold 2 rows, its summary.json says 3.",
            "B's files hold 1 rows with the outcome 'kept', its summary.json says 2.",
        ],
    }


def _summary_of(folder: Path, change: Any) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda b: (b / "summary.json").unlink(), "has no summary.json"),
        (lambda b: (b / "summary.json").write_text("[]"), "its summary.json is not that of a run"),
        (lambda b: (b / "summary.json").write_text("{" * 100_000), "its summary.json is not that of a run"),
        (lambda b: _summary_of(b, lambda s: s["counts"].update(rows="many")), "is no number of rows"),
        (lambda b: (b / "data/train-00001-of-00002.parquet").unlink(), "train-00001-of-00002.parquet"),
        (lambda b: (b / "data/train-00001-of-00002.parquet").write_bytes(b"PAR1"), "cannot be read"),
        (lambda b: (b / "data/train-00000-of-00002.parquet").write_bytes(b"no"), "is no Parquet file"),
        (lambda b: _summary_of(b, lambda s: s.update(files=[])), "names no Parquet file in data/; run the job again"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, spoil: Any, told: str) -> None:
    a = write_run(tmp_path / "a", [row(0), row(1, CLIP)])
    b = write_run(tmp_path / "b", [row(0), row(1), row(2)], files=2)
    spoil(b)
    with pytest.raises(CompareError, match=told) as refused:
        compare(a, b)
    assert "\n" not in str(refused.value)


def test_without_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = write_run(tmp_path / "a", [row(0)])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(CompareError, match=r"needs DuckDB, which is not installed; install it with: pip install"):
        compare(a, a)


def test_the_temporary_folder_is_left_empty(tmp_path: Path) -> None:
    a, place = write_run(tmp_path / "a", [row(0)]), tmp_path / "place"
    with pytest.raises(CompareError, match=f"--temporary_folder={place}: cannot be used"):
        compare(a, a, f"--temporary_folder={place}")
    place.mkdir()
    compare(a, a, f"--temporary_folder={place}", "--memory_gb=0.25")
    assert list(place.iterdir()) == []


def test_runs_on_google_cloud_storage(tmp_path: Path, gcs: GcsServer) -> None:
    gcs.buckets.add("bucket")
    outcomes = [row(0), row(1, CLIP), row(2)]
    local = write_run(tmp_path / "a", [row(0), row(1), row(2)], files=2)
    for path in write_run(tmp_path / "b", outcomes, files=2).rglob("*"):
        if path.is_file():
            files.write_bytes(f"gs://bucket/runs/b/{path.relative_to(tmp_path / 'b')}", path.read_bytes())
    found = compare(local, "gs://bucket/runs/b/")
    assert moves(found) == {("kept", "kept"): 2, ("kept", "clip: low_clip_score"): 1}
    assert found["accounting"]["adds_up"] and found["notes"] == []


def test_a_name_that_leads_elsewhere_is_no_file_of_the_run(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [row(0)], files=2)
    _summary_of(a, lambda summary: summary["files"][0].update(name="data/../data/train-00000-of-00002.parquet"))
    assert compare(a, a)["accounting"]["problems"][0] == "A's files hold 0 rows, its summary.json says 1."
