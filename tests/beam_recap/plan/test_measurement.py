"""Sums over outcomes, sizes of files, and what a summary tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from beam_recap.plan import earlier_run
from beam_recap.plan.measurement import Bytes, Draws, table_of
from beam_recap.plan.sample_run import SampleRun, _timing, size_by_rows
from beam_recap.records import Reason, Sample, Stage

STAGES = ("read", "fetch", "clip", "ocr", "caption")


def sample(index: int, **values: object) -> Sample:
    return Sample(unit="x[0:9]", index=index, uid=str(index), key=str(index), source_row=index, **values)


def test_rows_and_seconds_by_stage() -> None:
    kept = sample(0, seconds=(0.1, 0.2, None, 0.3, 0.4), width=1344, height=672)
    outcomes = [
        kept,
        sample(1).reject(Stage.READ, Reason.PREFILTERED),
        sample(2, seconds=(0.5, 0.1, None, None, None)).reject(Stage.CLIP, Reason.LOW_CLIP_SCORE),
    ]
    columns, table = table_of(outcomes, STAGES, lambda row: row.index // 2, 1536)
    assert table.shape == (2, len(columns))
    sums = dict(zip(columns, table.sum(0), strict=True))
    assert [sums[f"into {stage}"] for stage in STAGES] == [3, 2, 2, 1, 1]
    assert sums["seconds fetch"] == pytest.approx(0.6)
    assert sums["seconds caption"] == pytest.approx(0.4)
    assert (sums["rows"], sums["kept"]) == (3, 1)
    assert sums["jpeg_bytes"] == pytest.approx(0.24 * 672 * 336)
    assert table[0, columns.index("rows")] == 2


def test_bytes_of_files_have_a_part_that_rows_do_not_have() -> None:
    assert size_by_rows(100, lambda rows: 500 + 7 * len(rows)) == Bytes(500, 7)
    assert size_by_rows(0, lambda rows: 500) == Bytes(500, 0)
    assert size_by_rows(2, lambda rows: 500) == Bytes(0, 250)
    assert Bytes(500, 7).of(100, 2) == 1700
    assert size_by_rows(9, lambda rows: sum(rows)) == Bytes(0, 4)  # of every second row, wherever it is


def test_a_short_run_tells_what_a_start_takes() -> None:
    runs = [SampleRun(Path(), cpu_s, wall_s, 0) for cpu_s, wall_s in ((9, 20), (1.5, 2), (11.1, 14))]
    timing = _timing(runs, [16, 16, 112])
    assert timing.cpu_s == pytest.approx(0.1)
    assert timing.wall_s == pytest.approx(0.125)
    assert timing.startup_s == pytest.approx(20 - 16 * 0.125)
    alone = _timing(runs[-1:], [112])
    assert alone.cpu_s == pytest.approx(11.1 / 112)


def summary() -> dict[str, object]:
    stages = [("read", 400, 0, None), ("fetch", 400, 100, 4.0), ("ocr", 300, 200, 30.0), ("caption", 100, 20, 50.0)]
    by_stage = [
        {"stage": name, "rows_in": rows, "rejected": out, "rows_out": rows - out, "seconds": seconds}
        for name, rows, out, seconds in stages
    ]
    by_stage.append({"stage": "curate", "rows_in": 80, "rejected": 8, "rows_out": 72, "seconds": None})
    return {
        "counts": {"rows": 400, "kept": 72, "by_stage": by_stage},
        "config": {"captioner": "/models/llava", "device": "auto"},
        "fetch": {"rows": 400},
        "timings": {"rows_per_s": 5.0},
        "files": [{"name": "data/a.parquet", "rows": 72, "bytes": 7200}],
    }


def test_an_earlier_runs_summary(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary()))
    found = earlier_run.measure(earlier_run.read_summary(str(tmp_path)))
    assert found.rows == 400
    assert found.curated == pytest.approx(0.1)
    assert found.kept_bytes == Bytes(0, 100)
    assert found.timing is not None
    assert found.timing.cpu_s == pytest.approx(34 / 400 + earlier_run.OTHER_S)
    draws = Draws(found, draws=3000, seed=0)
    assert draws.per_row("into caption")[0] == pytest.approx(0.25)
    assert draws.per_row("kept")[0] == pytest.approx(0.2)
    assert draws.per_row("seconds ocr")[0] == pytest.approx(30 / 400)
    # As if rows were independent: the standard error of a share.
    assert draws.per_row("kept")[1:].std() == pytest.approx(np.sqrt(0.2 * 0.8 / 400), rel=0.1)


@pytest.mark.parametrize("change", ["counts", "fetch", "config", "files", "rows", "text"])
def test_what_is_no_summary(tmp_path: Path, change: str) -> None:
    path = tmp_path / "summary.json"
    broken = summary()
    if change == "text":
        path.write_text("{")
    elif change == "rows":
        broken["counts"]["rows"] = 0  # type: ignore[index]
        path.write_text(json.dumps(broken))
    else:
        del broken[change]
        path.write_text(json.dumps(broken))
    with pytest.raises(earlier_run.SummaryError):
        earlier_run.read_summary(str(path))
