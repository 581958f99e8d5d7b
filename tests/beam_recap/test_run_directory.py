from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from beam_recap import files, run_directory
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError

SHARDS = {"/in/a.parquet": "5 bytes, 0a", "/in/b.parquet": "6 bytes, 0b"}


def config(output: Path, **flags: str) -> RecapConfig:
    return RecapConfig.from_flags({"input": "/in/a.parquet", "output": str(output), **flags})


def claim(made: RecapConfig, shards: dict[str, str] | None = None) -> int:
    """The attempt of a run that begins and ends here."""
    claimed = run_directory.claim(made, shards)
    claimed.release()
    return claimed.attempt


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_directory_can_be_claimed(tmp_path: Path, exists: bool) -> None:
    output = tmp_path / "out"
    if exists:
        output.mkdir()
    made = config(output)
    assert run_directory.check(made) is None
    assert list(tmp_path.rglob("*")) == ([output] if exists else [])  # checking writes nothing
    assert [claim(made) for _ in range(3)] == [1, 2, 3]
    assert json.loads((output / "_checkpoint" / "run.json").read_text())["digest"] == made.digest()


def test_what_decides_no_outcome_may_change_between_runs(tmp_path: Path) -> None:
    claim(config(tmp_path))
    assert claim(config(tmp_path, retry="all", fetch_concurrency="1", device="cpu")) == 2


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        ({"min_clip_score": "0.25"}, "--min_clip_score was none, now 0.25"),
        ({"captioner": "none"}, "--captioner was demo, now none"),
        ({"input": "/in/b.parquet,/in/c.tar"}, "--input was /in/a.parquet, now /in/b.parquet,/in/c.tar"),
        ({"unit_rows": "5", "max_rows": "9"}, "--max_rows was none, now 9; --unit_rows was none, now 5"),
    ],
)
def test_another_configs_directory_is_refused_and_the_difference_named(
    tmp_path: Path, flags: dict[str, str], difference: str
) -> None:
    claim(config(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    for refuse in (run_directory.check, run_directory.claim):
        with pytest.raises(ConfigError) as caught:
            refuse(config(tmp_path, **flags))
        problem = f"holds another run ({difference}); give a new directory, or the flags of that run"
        assert str(caught.value) == f"--output={tmp_path}: {problem}"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


@pytest.mark.parametrize("name", ["notes.txt", "data/train-00000-of-00001.parquet", "a/b/c/.hidden", "_checkpoint/x"])
def test_a_directory_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no checkpoint"):
        claim(config(tmp_path))
    assert (tmp_path / name).read_text() == "mine"


def test_empty_folders_and_unfinished_files_do_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "_checkpoint").mkdir()
    (tmp_path / "_checkpoint" / ".tmp-0123-run.json").write_text("{")
    assert claim(config(tmp_path)) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"identity": {}}', '{"identity": 5, "attempts": 1}'])
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "_checkpoint").mkdir()
    (tmp_path / "_checkpoint" / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=r"run\.json that cannot be read"):
        run_directory.check(config(tmp_path))


def test_other_weights_under_the_same_path_are_another_run(tmp_path: Path) -> None:
    model, output = tmp_path / "llava", tmp_path / "out"
    model.mkdir()
    (model / "config.json").write_text("{}")
    weights = model / "model.safetensors"
    weights.write_bytes(bytes(300_000))
    claim(config(output, captioner=str(model)))
    weights.touch()
    assert claim(config(output, captioner=str(model))) == 2
    weights.write_bytes(bytes(299_999) + b"1")
    with pytest.raises(ConfigError, match=f"the files of --captioner={model} have changed"):
        run_directory.check(config(output, captioner=str(model)))


@pytest.mark.parametrize("name", ["run[1]", "a*b", "what?", "[!x]", "ä b"])
def test_directories_with_odd_names_are_claimed_too(tmp_path: Path, name: str) -> None:
    assert [claim(config(tmp_path / name, slice="1/2")) for _ in range(2)] == [1, 2]
    (tmp_path / name / "_checkpoint" / "run.json").unlink()
    with pytest.raises(ConfigError, match="not empty"):
        run_directory.check(config(tmp_path / name))


def test_order_and_number_of_patterns_do_not_matter(tmp_path: Path) -> None:
    claim(config(tmp_path, input="/in/b,/in/a"))
    assert claim(config(tmp_path, input="/in/a,/in/b,/in/a")) == 2


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        ({"/in/a.parquet": "5 bytes, 0a"}, "/in/b.parquet is no longer there since"),
        ({}, "/in/a.parquet and 1 more are no longer there since"),
        ({**SHARDS, "/in/c.parquet": "1 bytes, 0c"}, "/in/c.parquet is new since"),
        ({**SHARDS, "/in/b.parquet": "6 bytes, 0c"}, "/in/b.parquet is changed since"),
    ],
)
def test_another_input_is_refused(tmp_path: Path, now: dict[str, str], problem: str) -> None:
    claim(config(tmp_path), SHARDS)
    for refuse in (run_directory.check, run_directory.claim):
        with pytest.raises(ConfigError, match=problem) as caught:
            refuse(config(tmp_path), now)
        assert str(caught.value).startswith("--input=/in/a.parquet: ")
        assert str(caught.value).endswith("bring the input back as it was, or give a new --output")
    assert claim(config(tmp_path), dict(reversed(SHARDS.items()))) == 2


def test_slices_share_a_directory_and_the_whole_takes_over(tmp_path: Path) -> None:
    assert [claim(config(tmp_path, slice=text), SHARDS) for text in ("1/3", "3/3", "0/3", "1/3")] == [1, 1, 2, 2]
    with pytest.raises(ConfigError, match=r"^--slice=1/4: .* is cut into 3 slices; give I/3, or a new --output"):
        claim(config(tmp_path, slice="1/4"))
    with pytest.raises(ConfigError, match=r"holds another run \(--max_rows was none, now 5"):
        claim(config(tmp_path, slice="2/3", max_rows="5"))
    with pytest.raises(ConfigError, match="are no longer there"):
        claim(config(tmp_path, slice="2/3"), {})
    assert claim(config(tmp_path), SHARDS) == 3  # later than all attempts of slices
    with pytest.raises(ConfigError, match=r"^--slice=1/3: .* holds a run of the whole input; leave --slice out"):
        claim(config(tmp_path, slice="1/3"))
    assert claim(config(tmp_path), SHARDS) == 4


def other_process(made: RecapConfig, flags: dict[str, str]) -> str:
    """Claims in a process of its own; what came of it."""
    code = (
        "import json, sys\n"
        "from beam_recap import run_directory\n"
        "from beam_recap.config import RecapConfig\n"
        "from beam_recap.flag import ConfigError\n"
        "try:\n"
        "    print(run_directory.claim(RecapConfig.from_flags(json.loads(sys.argv[1]))).attempt)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    given = json.dumps({"input": "/in/a.parquet", "output": made.output, **flags})
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", code, given], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


@pytest.mark.slow
def test_two_runs_of_the_same_rows_do_not_meet(tmp_path: Path) -> None:
    whole, part = config(tmp_path / "whole"), config(tmp_path / "parts", slice="1/2")
    claimed = run_directory.claim(whole)
    assert "is being written by another run; wait until it ends" in other_process(whole, {})
    assert json.loads((tmp_path / "whole/_checkpoint/run.json").read_text())["attempts"] == 1
    claimed.release()
    assert other_process(whole, {}) == "2"

    claimed = run_directory.claim(part)
    assert "is being written by another run" in other_process(part, {"slice": "1/2"})
    assert "is being written by another run" in other_process(part, {})
    assert other_process(part, {"slice": "2/2"}) == "1"
    claimed.release()
    assert other_process(part, {}) == "2"


def test_a_refused_claim_locks_nothing(tmp_path: Path) -> None:
    claim(config(tmp_path))
    with pytest.raises(ConfigError):
        run_directory.claim(config(tmp_path, max_rows="5"))
    assert other_process(config(tmp_path), {}) == "2"


def test_killed_writers_leave_nothing_behind(tmp_path: Path) -> None:
    claim(config(tmp_path))
    left = tmp_path / "_checkpoint" / f".tmp-{'0' * 32}-run.json"
    left.touch()
    claim(config(tmp_path))
    assert files.unfinished_in(str(tmp_path / "_checkpoint")) == []
