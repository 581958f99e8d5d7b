"""The plan of a job, against what the job then takes."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from support.plan_rows import FLAGS, write_rows
from support.recap_runs import run_here, summary
from support.shards import write_parquet

from beam_recap.plan.report import text_of
from pipelines import plan

ROWS, SAMPLE = 400, 240


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"), ROWS)


def plan_of(shards: Path, output: Path, *flags: str) -> dict[str, Any]:
    return plan.run([f"--input={shards}", f"--output={output}", f"--sample_rows={SAMPLE}", "--seed=1", *FLAGS, *flags])


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_whole(shards: Path, folder: Path) -> float:
    """Runs the job itself into ``folder/all``; CPU seconds for each row."""
    before = cpu_s()
    assert run_here(f"--input={shards}", *FLAGS, f"--output={folder / 'few'}", "--max_rows=8") == 0
    few = cpu_s() - before
    assert run_here(f"--input={shards}", *FLAGS, f"--output={folder / 'all'}") == 0
    return (cpu_s() - before - 2 * few) / (ROWS - 8)


def near(value: float, truth: float, within: float = 0.15) -> bool:
    return abs(value / truth - 1) <= within


@pytest.fixture(scope="module")
def planned(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("plan") / "out"
    facts = plan_of(shards, output)
    assert not output.exists()
    return facts


@pytest.fixture(scope="module")
def whole(shards: Path, planned: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The job's output and its CPU seconds a row; the process is warm by now, as it is for most of the sample."""
    folder = tmp_path_factory.mktemp("whole")
    seconds = run_whole(shards, folder)
    return folder / "all", seconds


@pytest.mark.slow
def test_rows_and_bytes_are_right_within_15_percent(planned: dict[str, Any], whole: tuple[Path, float]) -> None:
    output, _ = whole
    told = summary(output)
    assert planned["rows"]["total"] == {"estimate": ROWS, "low": ROWS, "high": ROWS}
    assert planned["rows"]["sample"] == SAMPLE
    assert near(planned["rows"]["kept"]["estimate"], told["counts"]["kept"])
    assert near(planned["rows"]["captioned"]["estimate"], told["counts"]["by_stage"][3]["rows_in"])
    assert planned["rows"]["kept"]["low"] <= told["counts"]["kept"] <= planned["rows"]["kept"]["high"]
    for folder in ("data", "rejected"):
        on_disk = sum(path.stat().st_size for path in (output / folder).iterdir())
        assert near(planned["bytes"][folder]["estimate"], on_disk), folder
    stages = {stage["stage"]: stage for stage in planned["stages"]}
    for stage in told["counts"]["by_stage"]:
        share = stage["rows_out"] / stage["rows_in"]
        passed = stages[stage["stage"]]["passed"]
        assert passed["low"] - 0.03 <= share <= passed["high"] + 0.03, stage["stage"]


@pytest.mark.slow
def test_seconds_are_right_within_15_percent(
    shards: Path, planned: dict[str, Any], whole: tuple[Path, float], tmp_path: Path
) -> None:
    found, truth = planned["cpu_ms_per_row"]["estimate"] / 1000, whole[1]
    if not near(found, truth):  # other processes on the same cores: once more
        found = plan_of(shards, tmp_path / "out")["cpu_ms_per_row"]["estimate"] / 1000
        truth = run_whole(shards, tmp_path)
    assert near(found, truth)


@pytest.mark.slow
def test_an_earlier_run_instead_of_a_sample(whole: tuple[Path, float], shards: Path) -> None:
    output, _ = whole
    facts = plan.run([f"--from_summary={output}", f"--input={shards}"])
    counts = summary(output)["counts"]
    assert facts["rows"]["total"]["estimate"] == ROWS
    assert facts["rows"]["kept"]["estimate"] == pytest.approx(counts["kept"], rel=1e-5)
    assert facts["rows"]["kept"]["low"] < counts["kept"] < facts["rows"]["kept"]["high"]
    assert facts["this_machine"] is None
    assert {option["mode"] for option in facts["options"]} == {"fused"}  # its captioner needs no GPU


def test_flags_of_a_dataflow_job_and_captions_that_are_not_written_here(shards: Path, tmp_path: Path) -> None:
    facts = plan_of(
        shards,
        tmp_path / "out",
        *(
            "--runner=DataflowRunner",
            "--project=my-project",
            "--region=us-central1",
            "--temp_location=gs://my-bucket/t",
        ),
        *("--sample_rows=16", "--sample_captions=false", "--clip_model=none", "--min_clip_score=none"),
        *("--machine_types=n2-standard-8,g2-standard-12", "--total_rows=100000000"),
    )
    modes = [(option["mode"], [pool["machine_type"] for pool in option["machines"]]) for option in facts["options"]]
    assert modes == [("fused", ["g2-standard-12"]), ("split", ["n2-standard-8", "g2-standard-12"])]
    assert {option["captioner_rate"] for option in facts["options"]} == {"estimated, not measured"}
    # What passes the prefilter and is a picture.
    assert 0.4e8 < facts["rows"]["captioned"]["estimate"] < 0.95e8
    assert facts["options"][1]["machines"][1]["rows_per_s_per_worker"]["estimate"] > 0
    assert facts["captions"].startswith("not written in the sample")
    assert facts["cheaper_mode"] in ("fused", "split")


@pytest.mark.slow
def test_the_plan_in_words(planned: dict[str, Any]) -> None:
    text = text_of(planned)
    assert max(map(len, text.splitlines())) <= 120
    assert f"{ROWS} rows (counted in all 8 files (parquet, tar)), from {SAMPLE} of them" in text
    assert "list prices of 2026-11-21" in text
    assert "Not verified: dataflow.shuffle_gb" in " ".join(text.split())
    assert "whole job on this machine, one process" in text
    for machine in ("n2-standard-8", "g2-standard-12", "a3-highgpu-1g"):
        assert machine in text


def test_json_alone_on_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [
        *(f"--from_summary={_small_summary(tmp_path)}", "--format=json", "--total_rows=1000000"),
        *("--machine_types=n2-standard-8,g2-standard-12", f"--json={tmp_path / 'plan.json'}"),
    ]
    assert plan.main(words) == 0
    facts = json.loads(capfd.readouterr().out)
    assert json.loads((tmp_path / "plan.json").read_text()) == facts
    assert facts["rows"]["total"]["estimate"] == 1_000_000
    assert facts["rows"]["kept"]["estimate"] == pytest.approx(250_000)
    modes = [(option["mode"], option["machines"][-1]["machine_type"]) for option in facts["options"]]
    assert modes == [("fused", "g2-standard-12"), ("split", "g2-standard-12")]
    assert {option["captioner_rate"] for option in facts["options"]} == {"estimated, not measured"}


def _small_summary(folder: Path) -> Path:
    stages = [("read", 400, 0, None), ("fetch", 400, 100, 4.0), ("ocr", 300, 200, 30.0), ("caption", 100, 0, 50.0)]
    run = {
        "counts": {
            "rows": 400,
            "kept": 100,
            "by_stage": [
                {"stage": name, "rows_in": rows, "rejected": out, "rows_out": rows - out, "seconds": seconds}
                for name, rows, out, seconds in stages
            ],
        },
        "command": "python -m pipelines.recap",
        "config": {"captioner": "/models/llava", "caption_endpoint": None, "device": "auto", "rows_per_file": 1000},
        "fetch": {"rows": 400},
        "timings": {"rows_per_s": 5.0},
        "files": [
            {"name": "data/train-00000-of-00001.parquet", "rows": 100, "bytes": 20_000},
            {"name": "rejected/part-00000-of-00001.parquet", "rows": 300, "bytes": 15_000},
        ],
    }
    path = folder / "summary.json"
    path.write_text(json.dumps(run))
    return path


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--no_such_flag=1"], "--no_such_flag=1: no such flag"),
        (["--min_clip_score=30"], "--min_clip_score=30:"),
        (["--sample_rows=3"], "--sample_rows=3: is out of range"),
        (["--machine_types=q7"], "--machine_types=q7: q7 is not in the price file"),
        (["--captioner_rates=nvidia-l4"], "is no GPU:RATE"),
        (["--captioner_rates=nvidia-l5:2"], "is no GPU:RATE"),
        (["--prices=/no/such/file.yaml"], "--prices=/no/such/file.yaml: cannot be read"),
        (["--from_summary=/no/such/run"], "--from_summary=/no/such/run: cannot be read as a run's summary"),
        (["--from_summary=/no/such/run", "--ocr=none"], "--ocr=none: is told by --from_summary"),
        (["--deadline_hours=0.25", "--worker_startup_s=1000"], "--deadline_hours=0.25: leaves little time"),
        (["--input=/no/such/file.parquet", "--output=/no/such/output"], "/no/such/file.parquet"),
        (["--input=/no/such/file.parquet"], "--output=: is missing"),
    ],
)
def test_refusals(flags: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert plan.main(flags) == 2
    printed = capfd.readouterr()
    assert sentence in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_help_names_the_plans_flags_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m pipelines.plan")
    assert text.index("--sample_rows") < text.index("--preset")


def test_an_input_without_rows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_parquet(tmp_path / "empty.parquet", {"url": [], "text": []})
    flags = [f"--input={tmp_path}", f"--output={tmp_path}/../none-out"]
    assert plan.main(flags) == 2
    assert "holds no row" in capfd.readouterr().err
