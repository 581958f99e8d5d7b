"""The embedded demonstration, run as a newcomer runs it: its result must make sense."""

from __future__ import annotations

import io
import json
import tarfile

import pyarrow as pa
import pytest
from support.recap_runs import assert_accounts, final_bytes, kept, reasons, rejected, run_command, run_here, summary
from support.said import strangers

from beam_recap.demo import paths
from beam_recap.demo.scenes import parse

ROWS = 96


@pytest.fixture(scope="module")
def truth():
    """What the shard says of each row: its kind, and the right caption."""
    with tarfile.open(paths.SHARD) as tar:
        members = [member for member in tar.getmembers() if member.name.endswith(".json")]
        loaded = {member.name.split(".")[0]: json.loads(tar.extractfile(member).read()) for member in members}
    assert len(loaded) == ROWS
    return loaded


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    output = tmp_path_factory.mktemp("demo") / "out"
    done = run_command(f"--output={output}", "--extra_columns=true")
    assert done.returncode == 0, done.stderr
    return output, done


def test_every_row_has_one_outcome(run):
    output, _ = run
    assert_accounts(output, ROWS)


def test_kept_captions_are_right(run, truth):
    output, _ = run
    rows = kept(output).to_pylist()
    assert len(rows) >= 25
    right = [parse(row["re_caption"]) == parse(truth[row["key"]]["true_caption"]) for row in rows]
    assert sum(right) / len(right) >= 0.94  # at least 97 % in a large sample; here some 40 rows


def test_filters_drop_what_they_should(run, truth):
    output, _ = run
    kinds_kept = [truth[row["key"]]["kind"] for row in kept(output).to_pylist()]
    assert "text" not in kinds_kept
    assert kinds_kept.count("wrong") + kinds_kept.count("spam") <= 2
    ended = {row["key"]: row["reason"] for row in rejected(output)}
    right = [key for key, facts in truth.items() if facts["kind"] in ("right", "sentence")]
    low = [key for key in right if ended.get(key) == "low_clip_score"]
    assert len(low) <= 0.15 * len(right)
    assert not [key for key in right if ended.get(key) == "has_text"]
    assert {"corrupt", "too_small", "low_clip_score", "low_aesthetic_score", "has_text"} <= set(reasons(output))


def test_new_captions_score_higher(run):
    output, _ = run
    rows = kept(output).to_pylist()
    mean = lambda name: sum(row[name] for row in rows) / len(rows)  # noqa: E731
    assert mean("re_clip_score") > mean("org_clip_score") > 0.3
    assert mean("re_length") > mean("org_length")


def test_schema_and_nulls(run):
    output, _ = run
    table = kept(output)
    assert table.schema.names[:11] == [
        "url", "re_caption", "org_caption", "sha256", "key", "re_clip_score", "org_clip_score", "re_length",
        "org_length", "re_gpt4v_score", "org_gpt4v_score",
    ]  # fmt: skip
    assert table.schema.field("re_gpt4v_score").type == pa.int64()
    assert table["re_gpt4v_score"].null_count == table["kmeans"].null_count == table.num_rows
    assert table["re_caption"].null_count == table["similarity"].null_count == table["ase_scores"].null_count == 0


def test_progress_is_visible_and_reports_are_there(run):
    output, done = run
    assert "rows done" in done.stderr
    assert strangers(done.stderr) == []
    assert (output / "report.html").stat().st_size > 10_000
    assert (output / "README.md").read_text().startswith("---\n")
    assert summary(output)["counts"]["rows"] == ROWS


def test_the_same_command_again_does_nothing_anew(run):
    output, _ = run
    before = final_bytes(output)
    outcomes = sorted((output / "_checkpoint" / "outcomes").rglob("*.parquet"))
    again = run_command(f"--output={output}", "--extra_columns=true")
    assert again.returncode == 0, again.stderr
    assert sorted((output / "_checkpoint" / "outcomes").rglob("*.parquet")) == outcomes
    assert final_bytes(output) == before


@pytest.mark.slow
def test_lost_outcomes_are_done_again_and_nothing_else(run):
    output, _ = run
    before = final_bytes(output)
    outcomes = sorted((output / "_checkpoint" / "outcomes").rglob("*.parquet"))
    outcomes[0].unlink()
    again = run_command(f"--output={output}", "--extra_columns=true")
    assert again.returncode == 0, again.stderr
    assert final_bytes(output) == before
    assert_accounts(output, ROWS)


@pytest.mark.slow
def test_two_processes_give_the_same_files(tmp_path):
    """With several shards each process gets other rows, in other batches: the files are equal all the same."""
    with tarfile.open(paths.SHARD) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]
    for part in range(5):
        with tarfile.open(tmp_path / f"part-{part}.tar", "w") as tar:
            for member, data in members:
                if int(member.name.split(".")[0]) // 20 == part:
                    tar.addfile(member, io.BytesIO(data))
    flags = [f"--input={tmp_path}/part-*.tar", "--preset=recap-debiased", "--extra_columns=true"]
    assert run_here(*flags, f"--output={tmp_path}/one") == 0
    two = run_command(
        *flags, f"--output={tmp_path}/two", "--direct_num_workers=2", "--direct_running_mode=multi_processing"
    )
    assert two.returncode == 0, two.stderr
    assert strangers(two.stderr) == []
    assert_accounts(tmp_path / "two", ROWS)
    assert final_bytes(tmp_path / "two") == final_bytes(tmp_path / "one")
