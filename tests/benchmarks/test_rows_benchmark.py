"""The benchmark of memory and linear cost runs, and says no where it should."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.benchmarks import rows
from tests.benchmarks.checks import Check
from tests.benchmarks.rows import Run


@pytest.mark.slow
def test_it_runs_the_job_and_prints_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    details = tmp_path / "details.json"
    monkeypatch.setattr(rows, "_MAX_RUNS", 1)
    rows.main(["--rows=130", f"--json={details}", "--drop_duplicate_rows=true"])
    few, many = (Run(**one) for one in json.loads(details.read_text()))
    assert (few.rows, many.rows) == (64, 130)
    for run in (few, many):
        assert run.cpu_s > 0 and run.wall_s > 0
        assert run.peak_bytes > run.start_bytes > 10 * 2**20
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"rows: peak memory, largest / smallest 1 \(at most 1.15: ok\), CPU time per row.*; .*", line)
    assert "130 rows " in line and "noise " in line


def test_a_job_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)a run of 0 rows ended with status 2:.*invalid"):
        rows.measure(tmp_path, 0, [])


@pytest.mark.parametrize("counts", [{"rows": 8, "kept": 8}, {"rows": 9, "kept": 0}])
def test_a_job_that_did_other_work_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: dict[str, int]
) -> None:
    def run(arguments: list[str]) -> None:
        (output,) = (Path(one.removeprefix("--output=")) for one in arguments if one.startswith("--output="))
        output.mkdir()
        (output / "summary.json").write_text(json.dumps({"counts": counts}))

    monkeypatch.setattr("pipelines.recap.run", run)
    with pytest.raises(RuntimeError, match="of 9 rows the job did"):
        rows.measure_here(tmp_path / "shards", 9, [])


def test_small_sizes_run_more_often_than_large_ones() -> None:
    order = rows.runs_of([2000, 20_000, 200_000])
    assert order[:4] == [64, 2000, 20_000, 200_000]
    assert (order.count(2000), order.count(20_000), order.count(200_000)) == (5, 1, 1)


def test_flat_and_linear_passes_and_growth_fails() -> None:
    def run(rows_: int, seconds: float, mib: float) -> Run:
        return Run(rows_, seconds, 2 * seconds, 2**20, int(mib * 2**20))

    # 10 s of start-up and 1 ms a row.
    flat = [run(64, 10.064, 100), run(2064, 12.064, 100), run(2064, 12.064, 100), run(20_064, 30.064, 114)]
    checks, details = rows.judge(flat)
    assert [check.holds for check in checks] == [True, True]
    assert checks[0].value == pytest.approx(1.14)
    assert checks[1].value == pytest.approx(1)
    assert "2064 rows 100 MiB, 1.000 ms of CPU time a row (2.000 ms)" in details
    memory, time = rows.judge([*flat[:-1], run(20_064, 30.064, 116)])[0]
    assert (memory.holds, time.holds) == (False, True)
    memory, time = rows.judge([*flat[:-1], run(20_064, 34.064, 100)])[0]
    assert (memory.holds, time.holds) == (True, False)


def test_less_than_start_up_is_no_time_per_row() -> None:
    checks, _ = rows.judge([Run(64, 10, 10, 1, 1), Run(2000, 9, 9, 1, 1), Run(20_000, 20, 20, 1, 1)])
    assert not checks[1].holds


def test_a_check_holds_up_to_its_limit() -> None:
    assert Check("a", 1.0, 1.0).holds and not Check("a", 1.01, 1.0).holds
    assert Check("a", 1.0, 1.0, at_least=True).holds and not Check("a", 0.99, 1.0, at_least=True).holds
    assert not Check("a", float("nan"), 1.0).holds and not Check("a", float("nan"), 1.0, at_least=True).holds
    assert str(Check("a b", 2, 1.5)) == "a b 2 (at most 1.5: FAILED)"
