import dataclasses
import hashlib
import json
import pickle
import shlex
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.report_runs import config_of, finish, jpeg, provenance_of, small_run, with_thumbnails

from beam_recap.assemble import AccountingError, FileStats
from beam_recap.config import RecapConfig
from beam_recap.report.facts import RunFacts
from beam_recap.report.run_report import write_reports


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_summary_equals_the_run(output: Path) -> None:
    config = config_of(output, rows_per_file="20")
    facts, stats, tally = finish(config, small_run())
    summary = write_reports(facts, list(reversed(stats)), tally)

    assert json.loads((output / "summary.json").read_text()) == summary
    counts = summary["counts"]
    assert (counts["rows"], counts["kept"], counts["rejected"], counts["kept_percent"]) == (50, 27, 23, 54.0)
    assert [(s["stage"], s["rows_in"], s["rejected"], s["rows_out"]) for s in counts["by_stage"]] == [
        ("read", 50, 1, 49),
        ("fetch", 49, 8, 41),
        ("clip", 41, 9, 32),
        ("aesthetic", 32, 0, 32),
        ("ocr", 32, 4, 28),
        ("caption", 28, 1, 27),
        ("rescore", 27, 0, 27),
        ("curate", 27, 0, 27),
    ]
    assert counts["by_stage"][1]["reasons"] == {"http_4xx": 5, "timeout": 3}
    assert list(counts["by_reason"].items()) == [
        ("low_clip_score", 9),
        ("http_4xx", 5),
        ("has_text", 4),
        ("timeout", 3),
        ("empty_recaption", 1),
        ("missing_url", 1),
    ]
    assert summary["config"]["min_clip_score"] == 0.3
    assert summary["config_digest"] == config.digest()
    assert summary["models"]["clip_model"] == "demo"
    assert summary["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"pyarrow", "pillow", "apache-beam"} <= set(summary["versions"])


def test_files_of_the_summary_are_the_files(output: Path) -> None:
    facts, stats, tally = finish(config_of(output, rows_per_file="20"), small_run())
    listed = {file["name"]: file for file in write_reports(facts, stats, tally)["files"]}
    found = sorted(str(path.relative_to(output)) for path in output.glob("*/*.parquet"))
    assert sorted(listed) == found
    assert len(found) == 6
    for name, file in listed.items():
        data = (output / name).read_bytes()
        rows = pq.read_metadata(output / name).num_rows
        assert (file["bytes"], file["sha256"], file["rows"]) == (len(data), hashlib.sha256(data).hexdigest(), rows)


def test_timings(output: Path) -> None:
    facts, stats, tally = finish(config_of(output), small_run())
    facts = dataclasses.replace(facts, started_at=facts.started_at - 10)
    timings = write_reports(facts, stats, tally)["timings"]
    started, finished = (datetime.fromisoformat(timings[name]) for name in ("started_at", "finished_at"))
    assert started.utcoffset().total_seconds() == 0
    assert timings["elapsed_s"] >= 10
    assert (finished - started).total_seconds() == pytest.approx(timings["elapsed_s"], abs=0.01)
    assert timings["rows_per_s"] == pytest.approx(50 / timings["elapsed_s"], abs=0.01)
    assert timings["attempt"] == 1


def test_rate_of_a_later_attempt_is_unknown(output: Path) -> None:
    config = config_of(output)
    facts, stats, tally = finish(config, small_run())
    later = dataclasses.replace(facts, attempt=2, started_at=facts.started_at - 10)
    assert write_reports(later, stats, tally)["timings"]["rows_per_s"] is None
    assert "attempt 2" in (output / "report.html").read_text()


def test_no_rows(output: Path) -> None:
    facts, stats, tally = finish(config_of(output), [])
    summary = write_reports(facts, stats, tally)
    assert summary["counts"]["rows"] == 0
    assert summary["counts"]["kept_percent"] is None
    assert (output / "report.html").exists()


def test_all_rows_rejected(output: Path) -> None:
    rejected = [outcome for outcome in small_run() if hasattr(outcome, "reason")]
    facts, stats, tally = finish(config_of(output), rejected)
    counts = write_reports(facts, stats, tally)["counts"]
    assert (counts["kept"], counts["kept_percent"]) == (0, 0.0)


def test_only_stages_that_run(output: Path) -> None:
    config = config_of(output, preset="recap", clip_model="none")
    facts = RunFacts.of(config, provenance_of(config), 1)
    assert facts.stages == (("ReadShards", "read"), ("FetchImage", "fetch"), ("CaptionImage", "caption"))
    config = config_of(output, preset="text-debiased")
    stages = [stage for _, stage in RunFacts.of(config, provenance_of(config), 1).stages]
    assert stages == ["read", "fetch", "clip", "aesthetic", "ocr", "curate"]
    made = config_of(output, preset="text-debiased", filter_order="ocr,clip,aesthetic", more_clip_models="demo")
    stages = [stage for _, stage in RunFacts.of(made, provenance_of(made), 1).stages]
    assert stages == ["read", "fetch", "ocr", "clip", "aesthetic", "more_clips", "curate"]


def test_facts_travel(output: Path) -> None:
    config = config_of(output)
    facts = RunFacts.of(config, provenance_of(config), 1)
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert json.loads(json.dumps(facts.config)) == facts.config
    assert set(facts.config) == {field.name for field in dataclasses.fields(RecapConfig)}


def test_facts_import_no_model_library() -> None:
    code = (
        "import sys\n"
        "from beam_recap.report import facts\n"
        "facts.installed_versions(facts._PACKAGES)\n"
        "print([n for n in ('torch', 'transformers', 'open_clip', 'rapidocr', 'PIL', 'jinja2') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"preset": "text-debiased", "min_clip_score": "none", "max_rows": "5", "input": "/in/a b.parquet,/in/$x*.tar"},
        {
            "caption_prompt": 'What\'s `this`?\nSay "it"',
            "extra_columns": "true",
            "fetch_timeout_s": "2.5",
            "ocr": "none",
        },
    ],
)
def test_command_gives_the_config_again(output: Path, flags: dict[str, str]) -> None:
    config = config_of(output, **flags)
    command = RunFacts.of(config, provenance_of(config), 1).command
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "pipelines.recap"]
    given = dict(word.removeprefix("--").split("=", 1) for word in words[3:])
    assert RecapConfig.from_flags(given) == config
    assert set(given) == {"preset", "input", "output"} | set(flags)


def test_command_of_the_demonstration() -> None:
    config = RecapConfig.from_flags({})
    command = RunFacts.of(config, provenance_of(config), 1).command
    assert command == "python -m pipelines.recap --preset=recap-debiased"


def test_lost_row_is_an_error_and_nothing_is_written(output: Path) -> None:
    facts, stats, tally = finish(config_of(output, keep_checkpoint="false"), small_run())
    short = dataclasses.replace(stats[0], rows=stats[0].rows + 1)
    with pytest.raises(AccountingError, match="51 rows are not 27 kept \\+ 23 rejected"):
        write_reports(facts, [short], tally)
    assert not {"summary.json", "README.md", "report.html"} & {path.name for path in output.iterdir()}
    assert (output / "_checkpoint" / "run.json").exists()


def test_rejections_that_are_not_in_the_files_are_an_error(output: Path) -> None:
    facts, stats, tally = finish(config_of(output), small_run())
    more = dataclasses.replace(stats[0], rows=51, rejected=stats[0].rejected + Counter({("fetch", "timeout"): 1}))
    with pytest.raises(AccountingError, match="hold 27, 23"):
        write_reports(facts, [more], tally)


def test_a_tar_must_be_there_and_hold_the_kept_rows(output: Path) -> None:
    facts, stats, tally = finish(config_of(output, output_format="parquet,webdataset"), small_run())
    tar = FileStats("webdataset/train-00000-of-00001.tar", 27, 10_240, 0, "00")
    with pytest.raises(AccountingError, match="has nothing beside its tables, not webdataset/"):
        write_reports(facts, stats, tally)
    short = dataclasses.replace(stats[0], files=(*stats[0].files, dataclasses.replace(tar, rows=26)))
    with pytest.raises(AccountingError, match="hold 27, 23, 26"):
        write_reports(facts, [short], tally)
    whole = dataclasses.replace(stats[0], files=(*stats[0].files, tar))
    told = write_reports(facts, [whole], tally)["files"]
    assert told[-1] == {"name": tar.name, "rows": 27, "bytes": 10_240, "sha256": "00"}
    card = (output / "README.md").read_text()
    assert 'WebDataset("PATH/webdataset/train-00000-of-00001.tar"' in card
    assert "resized by `--resize_mode=keep_ratio_largest` to `--image_size=1536`" in card


@pytest.mark.parametrize("chosen", [(0, 1), (1, 2), (0, 2), (0, 1, 1), (0, 0, 1, 2)])
def test_missing_or_doubled_shard_is_an_error(output: Path, chosen: tuple[int, ...]) -> None:
    facts, stats, tally = finish(config_of(output, rows_per_file="20"), small_run())
    with pytest.raises(AccountingError, match="output shards are numbered"):
        write_reports(facts, [stats[number] for number in chosen], tally)


def test_summary_comes_last(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from beam_recap import files

    written = []
    write = files.write_alone
    monkeypatch.setattr(files, "write_alone", lambda path, data: (written.append(Path(path).name), write(path, data)))
    facts, stats, tally = finish(config_of(output), small_run())
    written.clear()
    write_reports(facts, stats, tally)
    assert written == ["README.md", "report.html", "summary.json"]


def test_checkpoint_is_kept_or_removed(output: Path) -> None:
    facts, stats, tally = finish(config_of(output), small_run())
    write_reports(facts, stats, tally)
    assert (output / "_checkpoint" / "run.json").exists()

    before = (output / "report.html").read_text()
    goes = dataclasses.replace(facts, keep_checkpoint=False)
    write_reports(goes, stats, tally)
    assert sorted(path.name for path in output.iterdir()) == [
        "README.md",
        "data",
        "rejected",
        "report.html",
        "summary.json",
    ]
    # A runner that runs it once more finds everything it needs.
    write_reports(goes, stats, tally)
    assert len((output / "report.html").read_text()) == pytest.approx(len(before), abs=50)


def test_object_store_checkpoint_goes_with_its_owner_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from beam_recap import files
    from beam_recap.report import run_report

    deleted = []
    monkeypatch.setattr(files, "delete", deleted.extend)
    run_report._remove_checkpoint("gs://b/o")
    assert deleted[0] == "gs://b/o/_checkpoint/outcomes/" and deleted[-1] == "gs://b/o/_checkpoint/run.json"


def test_removal_takes_the_path_as_it_is(tmp_path: Path) -> None:
    from beam_recap.report import run_report

    for name in ("a*", "abc", "[a]", "a"):
        (tmp_path / name / "_checkpoint" / "outcomes").mkdir(parents=True)
    run_report._remove_checkpoint(str(tmp_path / "a*"))
    run_report._remove_checkpoint(str(tmp_path / "[a]"))
    left = {path.parent.name for path in tmp_path.glob("*/_checkpoint")}
    assert left == {"abc", "a"}


def test_config_with_bytes_that_are_no_text(output: Path) -> None:
    config = config_of(output, caption_prompt="broken \udcff prompt")
    facts, stats, tally = finish(config, with_thumbnails(small_run(), jpeg()))
    write_reports(facts, stats, tally)
    assert json.loads((output / "summary.json").read_text())["config"]["caption_prompt"] == "broken \udcff prompt"
    assert "broken ? prompt" in (output / "README.md").read_text()
