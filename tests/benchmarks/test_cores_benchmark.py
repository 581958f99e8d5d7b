"""The benchmark of cores runs real commands, compares only equal files, and says no where it should."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmarks import cores
from tests.benchmarks.cores import Differs, check_same
from tests.benchmarks.measure import Cost


@pytest.mark.slow
def test_one_and_two_workers_leave_the_same_files(tmp_path: Path) -> None:
    # No model is loaded, which takes most of the time elsewhere.
    off = ("--clip_model=none", "--captioner=none", "--ocr=none", "--min_clip_score=none")
    off += ("--aesthetic_weights=none", "--min_aesthetic_score=none")
    costs = cores.run_sides(cores.make_input(tmp_path, 16), off, ["one", "two"])
    assert list(costs) == ["one", "two"]
    assert all(cost.cpu_s > 0 and cost.wall_s > 0 for cost in costs.values())
    assert costs["one"].total_bytes < costs["two"].total_bytes  # two more processes


def test_it_prints_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run_sides(shards: Path, flags: Sequence[str], sides: Sequence[str]) -> dict[str, Cost]:
        asked.append((shards.name, list(flags), list(sides)))
        startup_s = 0 if shards.name == "rows-9" else -15.0
        return {side: Cost(1.0, startup_s + (30.0 if side == "one" else 20.0), 1, 1) for side in sides}

    monkeypatch.setattr(cores, "run_sides", run_sides)
    details = tmp_path / "details.json"
    assert cores.main(["--rows=9", "--rounds=2", "--sides=one,two", f"--json={details}", "--ocr=none"]) == 1
    few, first, second = asked
    assert few == ("rows-16", ["--ocr=none"], ["one", "two"])
    assert (first, second) == (("rows-9", ["--ocr=none"], ["one", "two"]), ("rows-9", ["--ocr=none"], ["two", "one"]))
    found = json.loads(details.read_text())
    assert set(found["startup"]) == set(found["costs"]) == {"one", "two"}
    assert [cost["wall_s"] for cost in found["costs"]["two"]] == [20.0, 20.0]
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(r"cores: two workers / one 1.5 \(at least 1.6: FAILED\); .* cores in use", line)


def test_other_files_are_not_compared() -> None:
    check_same({"one": {"a": "1"}, "two": {"a": "1"}})
    for theirs in ({"a": "2"}, {"a": "1", "b": "1"}, {}):
        with pytest.raises(Differs, match="one and two left different"):
            check_same({"one": {"a": "1"}, "two": theirs})
    with pytest.raises(Differs, match="left no files"):
        check_same({"one": {}, "two": {}})


def test_the_median_round_decides() -> None:
    def cost(wall_s: float, cpu_s: float = 20.0) -> Cost:
        return Cost(cpu_s, wall_s, 2**30, 2**30)

    startup = {"one": cost(10), "two": cost(20)}
    costs = {"one": [cost(100), cost(100), cost(100)], "two": [cost(70, 140), cost(60, 120), cost(50, 100)]}
    (check,), details = cores.judge(costs, startup)
    assert check.holds and check.value == pytest.approx(100 / 60)
    assert details.startswith("1.43 to 2 in 3 rounds, beyond start-up 2.25, ")
    assert "two 60 s (20 s of it start-up, 2.00 cores in use, 1.0 GiB)" in details
    costs["two"][1] = cost(65)
    (check,), _ = cores.judge(costs, startup)
    assert not check.holds
    assert "beyond start-up nan" in cores.judge(costs, {**startup, "two": cost(70)})[1]


def test_rows_are_spread_over_tars(tmp_path: Path) -> None:
    import tarfile

    shards = cores.make_input(tmp_path, 11)
    counts = []
    for path in sorted(shards.iterdir()):
        with tarfile.open(path) as tar:
            counts.append(sum(name.endswith(".json") for name in tar.getnames()))
    assert counts == [2, 2, 2, 1, 1, 1, 1, 1]
