"""The command: what it prints, what it writes, what it refuses, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.compared_runs import row, write_run
from support.recap_runs import kept, reasons, run_here

from beam_recap.records import Reason
from pipelines.compare import main

LOW = Reason.LOW_CLIP_SCORE


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    a = write_run(folder / "a", [row(0), row(1), row(2, LOW)])
    b = write_run(folder / "b", [row(0), row(1, LOW), row(2, LOW)])
    return str(a), str(b)


def test_it_prints_and_writes(
    runs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*runs]) == 0
    said = capsys.readouterr()
    assert "newly rejected (kept in A) 1 33.3 %" in " ".join(said.out.split())
    assert said.err.splitlines()[-2:] == [
        "Wrote beam-recap-compare/compare.json",
        "Wrote beam-recap-compare/compare.html",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["beam-recap-compare"]
    assert json.loads((tmp_path / "beam-recap-compare/compare.json").read_text())["rows"]["newly_rejected"] == 1
    assert main([*runs, "--output=none"]) == 0
    assert "Wrote" not in capsys.readouterr().err


def test_exit_status(runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = runs
    assert main([a, b, "--output=none", "--exit_code=true"]) == 1
    assert main([a, a, "--output=none", "--exit_code=true"]) == 0
    assert "No row, no value and no column differs." in capsys.readouterr().out
    broken = write_run(tmp_path / "broken", [row(0)])
    summary = json.loads((broken / "summary.json").read_text())
    summary["counts"]["rows"] = 2
    (broken / "summary.json").write_text(json.dumps(summary))
    assert main([a, str(broken), "--output=none"]) == 1
    said = capsys.readouterr()
    assert "! B's files hold 1 rows, its summary.json says 2." in said.out
    assert said.err.splitlines()[-1].startswith("The rows do not add up")


def test_refusals_are_one_sentence(runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {
        (runs[0],): "compares two directories, and 1 are given",
        (*runs, runs[0]): "compares two directories, and 3 are given",
        (*runs, "--min_rows=1"): "--min_rows=1: no such flag",
        (
            runs[0],
            str(tmp_path),
        ): f"B={tmp_path}: has no summary.json, which a run writes when it ends; give the output "
        "directory of a finished run",
        (*runs, f"--output={runs[0]}"): "is a run's own directory; give another",
        (*runs, "--key=nothing"): "--key=nothing: A's data/ has no column of nothing; all files have key, url, caption",
    }
    for words, told in refused.items():
        assert main(words) == 2
        said = capsys.readouterr()
        (line,) = said.err.splitlines()
        assert line.startswith("python -m pipelines.compare: ") and told in line
        assert said.out == ""


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: python -m pipelines.compare A B [--flag=value ...]")


@pytest.mark.slow
def test_two_demonstrations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A higher threshold rejects more: the comparison says which, and that nothing else changed."""
    a, b = tmp_path / "a", tmp_path / "b"
    assert run_here(f"--output={a}", "--min_clip_score=0.3") == 0
    assert run_here(f"--output={b}", "--min_clip_score=0.8") == 0
    assert main([str(a), str(b), f"--output={tmp_path / 'out'}"]) == 0
    found = json.loads((tmp_path / "out/compare.json").read_text())
    keys = [set(kept(run)["key"].to_pylist()) for run in (a, b)]
    assert found["accounting"]["adds_up"]
    assert found["rows"]["kept_in_both"] == len(keys[0] & keys[1]) > 20
    assert found["rows"]["newly_rejected"] == len(keys[0] - keys[1]) > 0
    assert found["rows"]["newly_kept"] == found["rows"]["only_in_a"] == found["rows"]["only_in_b"] == 0
    assert [one["name"] for one in found["config"]] == ["min_clip_score"]
    clip = next(stage for stage in found["funnel"] if stage["stage"] == "clip")
    counts = [reasons(run)["low_clip_score"] for run in (a, b)]
    assert (clip["a"], clip["b"]) == tuple(counts)
    changed = [one["name"] for one in found["columns"] if one["equal"] < one["rows"]]
    assert changed == ["config_digest"]
