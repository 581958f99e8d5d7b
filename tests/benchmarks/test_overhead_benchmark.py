"""The benchmark of overhead runs, compares only equal work, and says no where it should."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.benchmarks import overhead
from tests.benchmarks.bare_loop import Kept
from tests.benchmarks.overhead import Differs, Meter, Round, check_same


@pytest.mark.slow
def test_both_sides_do_the_same_and_it_prints_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(overhead, "_STARTUP_ROWS", 8)
    details = tmp_path / "details.json"
    overhead.main(["--rows=32", "--rounds=1", f"--json={details}"])
    (one,) = (Round(**one) for one in json.loads(details.read_text()))
    assert one.rows == 24
    assert 0 < one.loop_inside_s <= one.loop_cpu_s
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"overhead: overhead \S+ \(at most 0.1: \w+\), outside \S+ \(at most 0.1: \w+\); ", line)


def test_other_work_is_not_compared() -> None:
    row = Kept("a cat", "00", 0.3, 5.0, "A cat.", 0.4)
    check_same({"1": row}, {"1": row._replace(clip_score=0.300001)})
    for job, loop in (
        ({}, {}),
        ({}, {"1": row}),
        ({"1": row}, {"2": row}),
        ({"1": row}, {"1": row._replace(recaption="A dog.")}),
        ({"1": row}, {"1": row._replace(recaption_score=0.41)}),
    ):
        with pytest.raises(Differs):
            check_same(job, loop)


def test_the_median_round_decides() -> None:
    def one(job: float, loop: float, inside: float = 10.0) -> Round:
        return Round(1000, job, job, inside, loop, loop, inside)

    checks, details = overhead.judge([one(11.5, 10), one(10.9, 10), one(10.2, 10)])
    assert [check.value for check in checks] == pytest.approx([0.09, 0.09])
    assert all(check.holds for check in checks)
    assert details.startswith("overhead 0.02 to 0.15, outside 0.02 to 0.15 in 3 rounds, ")
    assert "10.90 ms of CPU time a row for 10.00 ms, 0.90 ms outside" in details
    paired, outside = overhead.judge([one(11.5, 10), one(11.1, 10), one(10.2, 10)])[0]
    assert not paired.holds and not outside.holds


def test_a_meter_counts_what_it_is_given_even_if_that_raises() -> None:
    meter = Meter()

    def work(fails: bool) -> str:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
        if fails:
            raise ValueError
        return "done"

    assert meter(work)(False) == "done"
    with pytest.raises(ValueError):
        meter(work)(True)
    assert meter.seconds >= 0.04
