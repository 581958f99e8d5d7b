from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from support.shards import jpeg, table_bytes, write_parquet, write_table, write_tar

from beam_recap import run_directory
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError
from beam_recap.inputs import text_head
from beam_recap.preflight import check_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "good.parquet", {"url": ["http://x"], "text": ["a"]})
    write_parquet(tmp_path / "no_url.parquet", {"link": ["http://x"], "alt": ["a"]})
    write_tar(tmp_path / "good.tar", [{"__key__": "a", "jpg": jpeg()}])
    (tmp_path / "words.txt").write_text("hello")
    (tmp_path / "words.md").write_text("hello")
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
        ("words.md", {}, "input", "is neither a Parquet file nor a tar"),
        ("words.txt", {}, "input", "holds no URL in its first 1 lines; give one URL per line"),
        ("good.parquet,empty.tar", {}, "input", "is empty; give Parquet files, webdataset tars, or .txt, .csv"),
        ("cut.parquet", {}, "input", "is not a readable Parquet file"),
        ("nosuch://bucket/*.tar", {}, "input", "cannot be listed"),
        ("no_url.parquet", {}, "url_column", "--url_column"),
        ("good.parquet", {"url_column": "link"}, "url_column", "there is no column link"),
        ("good.parquet", {"caption_column": "alt"}, "caption_column", "there is no column alt"),
        ("good.parquet", {"verify_hash": "md5"}, "verify_hash", "there is no column md5; give one of url, text"),
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
    assert str(caught.value).startswith(f"--input={folder}/wor*.txt: {folder}/words.txt holds no URL")


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "csv.gz", "tsv.gz", "json.gz", "jsonl.gz"])
def test_texts_are_checked_by_their_first_rows(folder: Path, kind: str) -> None:
    rows = {"link": ["http://x"] * 200, "alt": ["a"] * 200, "md5": ["0" * 32] * 200}
    write_table(folder / f"table.{kind}", rows)
    check(folder, f"table.{kind}", url_column="link", caption_column="alt", verify_hash="md5")
    for flags, flag, problem in (
        ({}, "url_column", f"table.{kind} no column is named url or URL; name one of link, alt, md5 with --url_column"),
        ({"url_column": "URL"}, "url_column", "there is no column URL; give one of link, alt, md5"),
        ({"url_column": "link", "verify_hash": "sha256"}, "verify_hash", "there is no column sha256"),
    ):
        with pytest.raises(ConfigError, match=f"^--{flag}=.*{problem}"):
            check(folder, f"table.{kind}", **flags)


@pytest.mark.parametrize("kind", ["txt", "txt.gz"])
def test_a_list_has_one_column(folder: Path, kind: str) -> None:
    write_table(folder / f"list.{kind}", {"url": ["# pictures", "http://x"]})
    check(folder, f"list.{kind},no_url.parquet", url_column="link")
    for flag in ("caption_column", "verify_hash"):
        with pytest.raises(ConfigError, match=f"^--{flag}=alt: .*there is no column alt; give one of url"):
            check(folder, f"list.{kind}", **{flag: "alt"})


def test_a_list_may_hold_paths_where_the_flag_says_so(folder: Path) -> None:
    (folder / "paths.txt").write_text("/pictures/a.jpg\n")
    check(folder, "paths.txt", allow_local_files="true")
    with pytest.raises(ConfigError, match=r"holds no URL .*; for paths of pictures give --allow_local_files=true"):
        check(folder, "paths.txt")
    (folder / "paths.txt").write_text("pictures/a.jpg\n")
    with pytest.raises(ConfigError, match=r"holds no URL or absolute path .*; give one URL or absolute path per line"):
        check(folder, "paths.txt", allow_local_files="true")


@pytest.mark.parametrize(("name", "content"), [("a.jpg", jpeg()), ("a.webp", b"RIFF" + bytes(600))])
def test_pictures_are_refused_with_the_way_to_read_them(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"find {folder} -type f > pictures.txt"):
        check(folder, name)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.csv", b"", "x.csv is empty; give Parquet files"),
        ("x.csv", b"\n\n", "x.csv is no readable csv file: there is no header line; give"),
        ("x.csv", b'url,"text\n', "x.csv is no readable csv file: the header line cannot be read"),
        ("x.csv", b"url," + b"x" * (2 << 20), "the header line cannot be read (the row has more than 1048576 bytes)"),
        ("x.csv", jpeg(), "x.csv is a JPEG; give"),
        ("x.txt", bytes(range(256)) * 4, "x.txt is no text in UTF-8; save it as UTF-8"),
        ("x.tsv", "url\ttext\n".encode("utf-16"), "x.tsv is text in UTF-16 or UTF-32; save it as UTF-8"),
        ("x.txt", b"\n \n", "x.txt holds no rows; give"),
        ("x.jsonl", b"\n", "x.jsonl holds no rows; give"),
        ("x.json", b" [ ] ", "x.json holds no rows; give"),
        ("x.json", b'{"url": "http://x"}', "x.json is no readable json file: the file holds one JSON object"),
        ("x.json", b'{"url": "u"}\n{"url": "v"}', "no array of them; rename it to .jsonl"),
        ("x.jsonl", b'[{"url": "u"}]', "x.jsonl holds one JSON array, not one object per line; rename it to .json"),
        ("x.jsonl", b"url,text\nu,v\n", "x.jsonl holds no JSON object in its first 2 rows (no JSON: Expecting value"),
        (
            "x.json",
            b"[1, 2]",
            "x.json holds no JSON object in its first 2 rows (the JSON is no object but a number); give",
        ),
        ("x.json", b'[{"url": "u"', "x.json cannot be read (EOFError: the array does not end"),
        (
            "x.csv.gz",
            table_bytes("csv.gz", {"url": ["http://x"]})[:12],
            "x.csv.gz cannot be read (EOFError: Compressed",
        ),
        ("x.csv.gz", b"\x1f\x8b", "x.csv.gz is a damaged gzip file"),
    ],
)
def test_a_text_that_cannot_be_used_is_a_sentence(folder: Path, name: str, content: bytes, problem: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        check(folder, name)
    message = str(caught.value)
    assert message.startswith(f"--input={folder}/{name}: ")
    assert problem in message
    assert "\n" not in message and len(message) < 1000


def test_a_stream_costs_a_bounded_look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\n" * (4 << 20) + table_bytes("jsonl", {"url": ["http://x"]})
    (folder / "blank.jsonl.gz").write_bytes(gzip.compress(data, 1))
    check(folder, "blank.jsonl.gz")
    monkeypatch.setattr(text_head, "_BYTES_CHECKED", 1 << 20)
    with pytest.raises(ConfigError, match="holds no rows"):
        check(folder, "blank.jsonl.gz")


def test_damage_further_on_is_the_runs_to_report(folder: Path) -> None:
    data = table_bytes("jsonl.gz", {"url": [f"http://x/{number}" for number in range(5000)]})
    (folder / "cut.jsonl.gz").write_bytes(data[:-100])
    (folder / "odd.jsonl").write_bytes(b'nonsense\n{"url": "http://x"}\n')
    check(folder, "cut.jsonl.gz,odd.jsonl")


def test_a_folder_is_checked_as_its_shards(folder: Path) -> None:
    (folder / "sub").mkdir()
    write_table(folder / "sub/a.csv", {"url": ["http://x"]})
    (folder / "sub/a_stats.json").write_text("{}")
    check(folder, "sub")
    (folder / "sub/b.json").write_text('{"count": 1}')
    with pytest.raises(ConfigError, match=r"^--input=.*/sub: .*/sub/b\.json is no readable json"):
        check(folder, "sub")


@pytest.mark.parametrize("output", ["sub", "sub/out", "sub/deep/out"])
def test_an_output_in_the_input_folder_is_refused(folder: Path, output: str) -> None:
    (folder / "sub").mkdir()
    write_table(folder / "sub/a.csv", {"url": ["http://x"]})
    with pytest.raises(ConfigError, match=f"^--output=.*/{output}: lies in the input folder .*; give another"):
        check(folder, "sub", output)
    check(folder, "sub", "sub-out")


def test_another_runs_directory_is_refused(folder: Path) -> None:
    made = RecapConfig.from_flags({"input": f"{folder}/good.parquet", "output": f"{folder}/out"})
    run_directory.claim(made).release()
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
