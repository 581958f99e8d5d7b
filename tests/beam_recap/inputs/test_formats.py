from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from support.shards import jpeg, table_bytes, tar_bytes, write_parquet, write_tar

from beam_recap.inputs.formats import PARQUET, TAR, ShardError, detect_format, is_shard_name

TABLE = {"url": ["http://x/1", "http://x/2"], "text": ["a", "ü"]}
PICTURES = [{"__key__": "a", "jpg": jpeg()}]


def test_parquet_and_tar_are_told_by_content(tmp_path: Path) -> None:
    parquet = write_parquet(tmp_path / "a.tar", {"url": ["http://x"]})
    tar = write_tar(tmp_path / "b.parquet", PICTURES)
    empty_tar = write_tar(tmp_path / "c.csv", [])
    assert [detect_format(str(path)) for path in (parquet, tar, empty_tar)] == [PARQUET, TAR, TAR]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "json", "jsonl"])
def test_texts_are_told_by_name_and_compression_by_content(tmp_path: Path, kind: str) -> None:
    plain, packed = table_bytes(kind, TABLE), table_bytes(f"{kind}.gz", TABLE)
    for name, content, expected in (
        (f"a.{kind}", plain, kind),
        (f"a.b.{kind.upper()}", plain, kind),
        (f"a.{kind}.gz", packed, f"{kind}.gz"),
        (f"b.{kind}", packed, f"{kind}.gz"),
        (f"b.{kind}.gz", plain, kind),
        (f"c.{kind}", b"\xef\xbb\xbf" + plain, kind),
    ):
        (tmp_path / name).write_bytes(content)
        assert detect_format(str(tmp_path / name)) == expected


def test_ndjson_is_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(table_bytes("jsonl", TABLE))
    assert detect_format(str(tmp_path / "a.ndjson")) == "jsonl"


def zip_bytes(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("sheet.xml", "x" * 100)
    return (folder / "zip").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "problem", "remedy"),
    [
        ("a.csv", b"", "is empty", "give Parquet files"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "is empty", "give Parquet files"),
        ("a", b"url,text\n", "its name has no ending of a known text", ".jsonl"),
        ("a.parquet", b"text", "is neither a Parquet file nor a tar", ".jsonl"),
        ("a.gz", gzip.compress(b"text", mtime=0), "is neither a Parquet file nor a tar", ".jsonl"),
        ("a.txt", jpeg(), "is a JPEG", "give"),
        ("a.csv", bytes(100) + b"text", "is no text in UTF-8", "save it as UTF-8"),
        ("a.csv", bytes(range(256)), "is no text in UTF-8", "save it as UTF-8"),
        ("a.tsv", "url\ttext\n".encode("utf-16"), "is text in UTF-16", "save it as UTF-8"),
        ("a.tsv", "url\ttext\n".encode("utf-16-be"), "is no text in UTF-8", "save it as UTF-8"),
        ("a.tsv", "url\ttext\n".encode("utf-32"), "is text in UTF-16 or UTF-32", "save it as UTF-8"),
        ("a.jsonl.gz", gzip.compress("{}".encode("utf-16"), mtime=0), "is text in UTF-16", "save it as UTF-8"),
        ("a.csv", "カラム".encode("shift-jis") * 20, "is no text in UTF-8", "save it as UTF-8"),
        ("a.tar.gz", gzip.compress(tar_bytes(PICTURES), mtime=0), "is a compressed tar", "gunzip"),
        ("a.parquet.gz", gzip.compress(b"PAR1" * 9, mtime=0), "is a compressed parquet", "gunzip"),
        ("a.txt.gz", b"\x1f\x8b\x08\x00" + b"\xff" * 50, "is a damaged gzip file", "give"),
        ("a.json", b"url,text\n", "neither an array of JSON objects", "give"),
        ("a.jsonl", b'\n [ {"url": "http://x"}]', "one JSON array, not one object per line", "rename it to .json"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, problem: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ShardError) as caught:
        detect_format(str(tmp_path / name))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert problem in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_spreadsheet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(zip_bytes(tmp_path))
    with pytest.raises(ShardError, match=r"a\.csv is a zip archive or a spreadsheet"):
        detect_format(str(tmp_path / "a.csv"))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="cannot be read"):
        detect_format(str(tmp_path / "x.csv"))


def test_few_damaged_characters_are_still_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("url,text\nhttp://x/1,café\nhttp://x/2,b\0\n".encode("latin-1"))
    assert detect_format(str(tmp_path / "a.csv")) == "csv"


@pytest.mark.parametrize(
    ("path", "is_shard"),
    [
        ("00000.parquet", True),
        ("deep/er/00000.tar", True),
        ("a.b.CSV.GZ", True),
        ("a.ndjson", True),
        ("a.csv.bz2", False),
        ("a.md", False),
        ("parquet", False),
        ("_SUCCESS", False),
        ("_metadata.parquet", False),
        ("_temporary/0.csv", False),
        (".hidden.csv", False),
        (".git/x.txt", False),
        ("00000_stats.json", False),
        ("a.tar.gz", False),
    ],
)
def test_shards_in_a_folder_are_told_by_name(path: str, is_shard: bool) -> None:
    assert is_shard_name(path) == is_shard
