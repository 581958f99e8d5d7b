from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.shards import table_bytes, write_parquet, write_table
from support.text_reading import FLAGS, read_bytes, read_file, read_unit, sample_of, told

from beam_recap.inputs.parquet_rows import read_parquet_rows
from beam_recap.inputs.raw_rows import MAX_ROW_BYTES
from beam_recap.inputs.text_rows import count_text_rows
from beam_recap.inputs.units import Shard, plan_units
from beam_recap.records import Outcome, Reason, Rejection, Sample

TABLES = ["csv", "tsv", "json", "jsonl"]
KINDS = [kind + packed for kind in ["txt", *TABLES] for packed in ("", ".gz")]

COLUMNS: dict[str, list[Any]] = {
    "SAMPLE_ID": [11, 12, None, 14, 15],
    "URL": ["http://x/a.jpg?a=1,2", "http://x/b.jpg", "", "http://x/日本.jpg", " http://x/e.jpg "],
    "TEXT": ['a "cat"', "two\nlines, and a\ttab", "no address", None, "ü 🎈\r\n'quoted'"],
    "HEIGHT": [480.0, None, 1.0, 2.0, 3.0],
    "NSFW": ["UNLIKELY", "", "x", None, "y"],
    "sum": ["AB" * 32, " cd ", None, "", "ef"],
}


def without_place(outcome: Outcome) -> Outcome:
    row = replace(sample_of(outcome), unit="", key="")
    return replace(outcome, sample=row) if isinstance(outcome, Rejection) else row


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("txt")])
@pytest.mark.parametrize("unit_rows", [1, 2, 2000])
def test_every_kind_gives_the_same_rows(tmp_path: Path, kind: str, unit_rows: int) -> None:
    parquet = write_parquet(tmp_path / "a.parquet", COLUMNS)
    units = list(plan_units(Shard(str(parquet), 3), 2000))
    chosen: dict[str, Any] = {**FLAGS, "digest_column": "sum"}
    expected = [without_place(row) for unit in units for row in read_parquet_rows(unit, done=set(), **chosen)]
    # The index belongs to the place, but with one unit it is the same.
    given = read_file(write_table(tmp_path / f"a.{kind}", COLUMNS), unit_rows, digest_column="sum")
    assert [replace_index(without_place(row), number) for number, row in enumerate(given)] == expected
    assert [sample_of(row).expected_digest for row in given] == ["ab" * 32, "cd", None, None, "ef"]
    assert told(given)[2] == "missing_url"


def replace_index(outcome: Outcome, index: int) -> Outcome:
    if isinstance(outcome, Rejection):
        return replace(outcome, sample=replace(outcome.sample, index=index))
    return replace(outcome, index=index)


@pytest.mark.parametrize("kind", ["txt", "txt.gz"])
def test_a_list_of_urls(tmp_path: Path, kind: str) -> None:
    urls = ["http://x/a,b", 'http://x/"c"', "http://x/日本"]
    path = write_table(tmp_path / f"a.{kind}", {"url": urls})
    parquet = write_parquet(tmp_path / "a.parquet", {"url": urls})
    (unit,) = plan_units(Shard(str(parquet), 3), 2000)
    expected = [without_place(row) for row in read_parquet_rows(unit, done=set(), **FLAGS)]
    assert [without_place(row) for row in read_file(path)] == expected
    assert told(read_file(path, url_column="link", caption_column="alt")) == urls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit_rows", [1, 7, 2000])
def test_units_hold_every_row_once(tmp_path: Path, kind: str, unit_rows: int) -> None:
    urls = [f"http://x/{number}" for number in range(50 if unit_rows == 1 else 4500)]
    path = write_table(tmp_path / f"a.{kind}", {"url": urls, "text": ["a\nb,c"] * len(urls)})
    rows = read_file(path, unit_rows)
    assert told(rows) == urls
    assert [sample_of(row).source_row for row in rows] == list(range(len(urls)))
    assert len({sample_of(row).key for row in rows}) == len(urls)


def test_keys_have_the_digits_that_the_shard_needs(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.txt", {"url": ["http://x"] * 10_001})
    keys = [sample_of(row).key for row in read_file(path)]
    assert (keys[0], keys[-1]) == ("0000300000", "0000310000")
    assert keys == sorted(keys)


cells = st.text('a,"\n\r\té', max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(cells, cells), max_size=20),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([1, 7, 2000]),
    st.sampled_from(["csv", "tsv"]),
)
def test_tables_are_read_as_the_csv_module_reads_them(
    tmp_path: Path, rows: list[tuple[str, str]], end: str, unit_rows: int, kind: str
) -> None:
    text = io.StringIO(newline="")
    delimiter = "," if kind == "csv" else "\t"
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("url", "text"), *rows])
    (tmp_path / f"a.{kind}").write_text(text.getvalue(), newline="")
    expected = list(csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=delimiter))[1:]
    found = [sample_of(row) for row in read_file(tmp_path / f"a.{kind}", unit_rows)]
    assert [(row.url, row.caption) for row in found] == [
        (url.strip() or None, text.strip() or None) for url, text in expected
    ]


CSV_HEAD, JSON_ROW = b"url,text\n", b'{"url": "http://x"}\n'


@pytest.mark.parametrize(
    ("name", "data", "detail"),
    [
        ("a.csv", CSV_HEAD + b"http://x,a\nhttp://y\nhttp://x,c\n", "has 1 fields, the header 2"),
        ("a.csv", CSV_HEAD + b"http://x,a\nhttp://y,b,c\nhttp://x,c\n", "has 3 fields, the header 2"),
        ("a.csv", CSV_HEAD + b'http://x,a\nhttp://y,"b"c\nhttp://x,c\n', "RFC 4180"),
        ("a.csv", CSV_HEAD + b'http://x,a\nhttp://y,"b\nhttp://z,"c\nhttp://x,c\n', "RFC 4180"),
        ("a.csv", CSV_HEAD + b"http://x,a\nhttp://y,caf\xe9\nhttp://x,c\n", "no UTF-8 at byte 12"),
        ("a.csv", CSV_HEAD + b"http://x,a\nhttp://y,\0\nhttp://x,c\n", "a NUL at byte 9"),
        ("a.csv", CSV_HEAD + b"http://x,a\nhttp://y," + b"b" * MAX_ROW_BYTES + b"\nhttp://x,c\n", "more than 1048576"),
        ("a.tsv", b"url\ttext\nhttp://x\ta\nhttp://y,b\nhttp://x\tc\n", "has 1 fields, the header 2"),
        ("a.txt", b"http://x\nhttp://y\xff\nhttp://x\n", "no UTF-8"),
        ("a.txt", b"http://x\n" + b"y" * (3 * MAX_ROW_BYTES) + b"\nhttp://x\n", "more than 1048576 bytes"),
        ("a.txt", b"http://x\n\0\nhttp://x\n", "a NUL at byte 0"),
        ("a.jsonl", JSON_ROW + b'{"url": "http://y"\n' + JSON_ROW, "no JSON"),
        ("a.jsonl", JSON_ROW + b'{"url": "http://y"} {}\n' + JSON_ROW, "Extra data"),
        ("a.jsonl", JSON_ROW + b'["http://y"]\n' + JSON_ROW, "no object but an array"),
        ("a.jsonl", JSON_ROW + b"null\n" + JSON_ROW, "no object but null"),
        ("a.jsonl", JSON_ROW + b'{"url": "http://y\xff"}\n' + JSON_ROW, "no UTF-8"),
        ("a.jsonl", JSON_ROW + b"[" * 100_000 + b"\n" + JSON_ROW, "no JSON: RecursionError"),
        ("a.jsonl", JSON_ROW + b'{"url": ' + b"9" * 5000 + b"}\n" + JSON_ROW, "no JSON: ValueError"),
        ("a.jsonl", JSON_ROW + b'{"a": "' + b"b" * MAX_ROW_BYTES + b'"}\n' + JSON_ROW, "more than 1048576 bytes"),
        ("a.json", b"[" + JSON_ROW + b", nope, " + JSON_ROW + b"]", "no JSON"),
        ("a.json", b"[" + JSON_ROW + b", 1, " + JSON_ROW + b"]", "no object but a number"),
        ("a.json", b"[" + JSON_ROW + b', "' + b"b" * MAX_ROW_BYTES + b'",' + JSON_ROW + b"]", "more than 1048576"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_malformed_row_costs_only_itself(tmp_path: Path, name: str, data: bytes, detail: str, packed: bool) -> None:
    for unit_rows in (1, 2000):
        rows = read_bytes(tmp_path / name, gzip.compress(data, 1) if packed else data, unit_rows)
        assert told(rows) == ["http://x", "malformed_row", "http://x"]
        assert detail in rows[1].detail  # type: ignore[union-attr]
        assert rows[1].sample.url is None  # type: ignore[union-attr]


def test_objects_have_the_columns_of_their_own_keys(tmp_path: Path) -> None:
    rows = [
        {"url": "http://x/1", "text": "a"},
        {"URL": "http://x/2", "TEXT": "b", "width": 5},
        {"text": "c"},
        {"url": None, "text": "d"},
        {"url": "http://x/5", "caption": "e", "text": "f", "extra": {"g": [1]}},
        {"url": "http://x/\ud800", "text": float("nan")},
        {f"key{number}": number for number in range(100)},
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for unit_rows in (1, 3, 2000):
        found = read_bytes(tmp_path / "a.jsonl", data, unit_rows)
        assert told(found) == [
            "http://x/1", "http://x/2", "missing_url", "missing_url", "http://x/5", "http://x/?", "missing_url"
        ]  # fmt: skip
        assert [sample_of(row).caption for row in found] == ["a", "b", "c", "d", "e", None, None]
    assert told(read_bytes(tmp_path / "a.jsonl", data, url_column="URL"))[:2] == ["missing_url", "http://x/2"]


def test_brackets_of_any_depth_cost_only_their_row(tmp_path: Path) -> None:
    good = '{"url": "http://x"}\n'
    rows = [f'{{"url": "http://y", "text": {"[" * depth}{"]" * depth}}}\n' for depth in range(1, 1100)]
    found = told(read_bytes(tmp_path / "a.jsonl", (good + good.join(rows)).encode()))
    assert found[::2] == ["http://x"] * len(rows)
    assert set(found[1::2]) == {"http://y", "malformed_row"}


def test_an_object_of_columns_as_pandas_writes_it(tmp_path: Path) -> None:
    table = {"url": {"0": "http://x/0", "1": "http://x/1"}, "text": {"0": "a", "1": None}}
    found = read_bytes(tmp_path / "a.json", json.dumps(table).encode())
    assert [(row.url, row.caption) for row in found] == [("http://x/0", "a"), ("http://x/1", None)]  # type: ignore[union-attr]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_byte_order_marks(tmp_path: Path, end: bytes, mark: bytes, last: bool) -> None:
    for name, lines in (
        ("a.csv", [b'"url",text', b'http://x,"a"', b"", b'"http://y",b']),
        ("a.tsv", [b"text\turl", b"a\thttp://x", b"b\thttp://y"]),
        ("a.txt", [b"http://x", b"", b"http://y"]),
        ("a.jsonl", [b'{"url": "http://x"}', b"", b'{"url": "http://y"}']),
    ):
        if name != "a.jsonl" or end != b"\r":
            data = mark + end.join(lines) + (end if last else b"")
            assert told(read_bytes(tmp_path / name, data, 1)) == ["http://x", "http://y"]


def test_names_in_a_header(tmp_path: Path) -> None:
    data = b' url , text,url,""\nhttp://x,a,http://y,3\n'
    (row,) = read_bytes(tmp_path / "a.csv", data)
    assert (sample_of(row).url, sample_of(row).caption) == ("http://x", "a")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith(".gz")])
def test_a_cut_stream_ends_in_one_rejection(tmp_path: Path, kind: str) -> None:
    urls = [f"http://x/{number}" for number in range(5000)]
    packed = table_bytes(kind, {"url": urls})
    for size in (len(packed) * 2 // 3, len(packed) - 1):
        rows = read_bytes(tmp_path / f"a.{kind}", packed[:size])
        assert told(rows[:-1]) == urls[: len(rows) - 1]
        assert len(rows) > 100
        assert isinstance(rows[-1], Rejection)
        assert (rows[-1].reason, "EOFError" in rows[-1].detail) == (Reason.CORRUPT_SHARD, True)
        assert count_rows(tmp_path / f"a.{kind}", 10**9) == len(rows)
        assert count_rows(tmp_path / f"a.{kind}", 10) == 10


def count_rows(path: Path, at_most: int) -> int:
    (unit,) = plan_units(Shard(str(path), 0), 2000)
    return count_text_rows(unit, at_most)


@pytest.mark.parametrize(
    ("name", "data", "detail"),
    [
        ("a.txt.gz", gzip.compress(b"http://x\nhttp://x\n", mtime=0)[:-8] + bytes(8), "CRC"),
        ("a.txt.gz", gzip.compress(b"http://x\nhttp://x\n", mtime=0) + b"rubbish", "Not a gzipped file"),
        ("a.json", b"[" + JSON_ROW + b"," + JSON_ROW + b', {"url": "http', "does not end after its 2"),
        ("a.json", b"[" + JSON_ROW + b"," + JSON_ROW + b"] x", "follows the end of the array"),
    ],
)
def test_a_damaged_stream_ends_in_one_rejection(tmp_path: Path, name: str, data: bytes, detail: str) -> None:
    rows = read_bytes(tmp_path / name, data)
    assert told(rows) == ["http://x", "http://x", "corrupt_shard"]
    assert detail in rows[-1].detail  # type: ignore[union-attr]


def test_a_file_that_shrank_gives_one_rejection_per_row(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", {"url": [f"http://x/{number}" for number in range(6)]})
    first, second = plan_units(Shard(str(path), 3), 3)
    write_table(path, {"url": [f"http://x/{number}" for number in range(4)]})
    assert told(read_unit(first)[0]) == ["http://x/0", "http://x/1", "http://x/2"]
    outcomes, rows = read_unit(second, done={2})
    assert (told(outcomes), rows) == (["http://x/3", "corrupt_shard"], 3)
    assert "after 1 of the unit's 3 rows" in outcomes[1].detail  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["csv", "csv.gz"])
def test_a_table_without_the_column_is_rejected(tmp_path: Path, kind: str) -> None:
    path = write_table(tmp_path / f"a.{kind}", {"link": ["http://x", "http://y"]})
    rows = read_file(path)
    assert set(told(rows)) == {"corrupt_shard"}
    assert len(rows) == (2 if kind == "csv" else 1)
    assert "--url_column" in rows[0].detail  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("done", [set(), {0}, {1, 3}, {0, 1, 2, 3, 4}])
def test_rows_with_an_outcome_are_skipped(tmp_path: Path, kind: str, done: set[int]) -> None:
    path = write_table(tmp_path / f"a.{kind}", {"url": [f"http://x/{number}" for number in range(5)]})
    (unit,) = plan_units(Shard(str(path), 3), 10)
    outcomes, rows = read_unit(unit, done)
    assert [(sample_of(row).index, sample_of(row).url) for row in outcomes] == [
        (index, f"http://x/{index}") for index in range(5) if index not in done
    ]
    assert rows == 5


def test_a_limit_ends_a_stream(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.jsonl.gz", {"url": ["http://x"] * 5})
    (unit,) = plan_units(Shard(str(path), 3), 10)
    for limit, rows in ((0, 0), (3, 3), (9, 5)):
        outcomes, count = read_unit(replace(unit, limit=limit))
        assert len(outcomes) == count == rows


def test_a_row_as_long_as_the_cap_is_read(tmp_path: Path) -> None:
    text = "b" * (MAX_ROW_BYTES - len("http://x,\n"))
    (row,) = read_bytes(tmp_path / "a.csv", f"url,text\nhttp://x,{text}\n".encode())
    assert isinstance(row, Sample) and row.caption == text


def test_parquet_files_of_text_have_numbers(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": ["http://x"], "WIDTH": ["640.0"]})
    assert pq.read_schema(path).field("WIDTH").type == "string"
    (unit,) = plan_units(Shard(str(path), 3), 10)
    (row,) = read_parquet_rows(unit, done=set(), **FLAGS)
    assert sample_of(row).source_width == 640
