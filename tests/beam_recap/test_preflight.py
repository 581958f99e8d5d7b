from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.shards import jpeg, write_parquet, write_tar

from beam_recap import checkpoint
from beam_recap.config import RecapConfig
from beam_recap.flags import ConfigError
from beam_recap.preflight import check_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "good.parquet", {"url": ["http://x"], "text": ["a"]})
    write_parquet(tmp_path / "no_url.parquet", {"link": ["http://x"], "alt": ["a"]})
    write_tar(tmp_path / "good.tar", [{"__key__": "a", "jpg": jpeg()}])
    (tmp_path / "words.txt").write_text("hello")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "good.parquet").read_bytes()[:50])
    (tmp_path / "empty.tar").touch()
    (tmp_path / "empty_folder").mkdir()
    return tmp_path


def check(folder: Path, pattern: str, output: str = "out", **flags: str) -> None:
    given = {"input": ",".join(f"{folder}/{name}" if "://" not in name else name for name in pattern.split(","))}
    target = output if "://" in output else f"{folder}/{output}"
    check_run(RecapConfig.from_flags({**given, "output": target, **flags}))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        ("good.parquet", {}),
        ("good.*", {}),
        ("good.tar,good.parquet", {}),
        ("good.tar", {"url_column": "anything"}),
        ("no_url.parquet", {"url_column": "link", "caption_column": "alt"}),
    ],
)
def test_good_input_passes_and_nothing_is_written(folder: Path, pattern: str, flags: dict[str, str]) -> None:
    before = names(folder)
    check(folder, pattern, **flags)
    assert names(folder) == before


def test_the_demonstration_passes(tmp_path: Path) -> None:
    check_run(RecapConfig.from_flags({"output": str(tmp_path / "demo")}))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("pattern", "flags", "flag", "problem"),
    [
        ("nothing.parquet", {}, "input", "matches no file"),
        ("good.parquet,*.csv", {}, "input", "matches no file"),
        ("empty_folder", {}, "input", "matches no file"),
        ("words.txt", {}, "input", "is neither a Parquet file nor a tar"),
        ("good.parquet,empty.tar", {}, "input", "is neither a Parquet file nor a tar"),
        ("cut.parquet", {}, "input", "is not a readable Parquet file"),
        ("nosuch://bucket/*.tar", {}, "input", "cannot be listed"),
        ("no_url.parquet", {}, "url_column", "--url_column"),
        ("good.parquet", {"url_column": "link"}, "url_column", "there is no column link"),
        ("good.parquet", {"caption_column": "alt"}, "caption_column", "there is no column alt"),
    ],
)
def test_input_that_cannot_be_used_is_a_sentence(
    folder: Path, pattern: str, flags: dict[str, str], flag: str, problem: str
) -> None:
    before = names(folder)
    with pytest.raises(ConfigError) as caught:
        check(folder, pattern, **flags)
    message = str(caught.value)
    assert message.startswith(f"--{flag}=")
    assert problem in message
    assert "\n" not in message
    assert names(folder) == before


def test_the_pattern_at_fault_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check(folder, "good.parquet,wor*.txt")
    assert str(caught.value).startswith(f"--input={folder}/wor*.txt: {folder}/words.txt is neither")


def test_another_runs_directory_is_refused(folder: Path) -> None:
    checkpoint.claim(RecapConfig.from_flags({"input": f"{folder}/good.parquet", "output": f"{folder}/out"}))
    check(folder, "good.parquet")
    with pytest.raises(
        ConfigError, match=r"^--output=.*/out: holds another run \(--image_size was 1536, now 512\); give"
    ):
        check(folder, "good.parquet", image_size="512")


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (".", "is not empty"),
        ("words.txt", "cannot be a directory"),
        ("words.txt/sub/folder", "cannot be a directory"),
        ("nosuch://bucket/out", "cannot be read"),
    ],
)
def test_an_output_that_cannot_be_used_is_refused(folder: Path, output: str, problem: str) -> None:
    before = names(folder)
    with pytest.raises(ConfigError, match=f"^--output=.*{problem}") as caught:
        check(folder, "good.parquet", output)
    assert "; give " in str(caught.value)
    assert names(folder) == before


def test_an_output_without_permission_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write everywhere
    with pytest.raises(ConfigError, match=r"^--output=.*cannot be written, because .* is read-only; give another"):
        check(folder, "good.parquet")


@pytest.mark.parametrize("output", ["empty_folder", "new/deep/folder", "run[1]"])
def test_new_and_empty_directories_pass(folder: Path, output: str) -> None:
    check(folder, "good.parquet", output)
