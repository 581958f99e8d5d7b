from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_recap.inputs import raw_rows
from beam_recap.inputs.raw_rows import MAX_ROW_BYTES, open_rows, split_lines, split_records, split_rows

ALPHABET = 'a,"\n\r\té'


def reader(data: bytes, size: int | None = None) -> Callable[[int], bytes]:
    """Gives ``size`` bytes at a time, whatever is asked for."""
    stream = io.BytesIO(data)
    return lambda asked: stream.read(size or asked)


def lines_of(data: bytes, size: int, *, carriage_returns: bool) -> list[tuple[int, bytes]]:
    return list(split_lines(reader(data, size), 0, carriage_returns=carriage_returns))


@given(st.text("ab\r\n", max_size=60).map(str.encode), st.integers(1, 20))
def test_lines_do_not_depend_on_chunks(data: bytes, size: int) -> None:
    found = lines_of(data, size, carriage_returns=True)
    assert [line for _, line in found] == data.splitlines(keepends=True)
    assert all(data[offset : offset + len(line)] == line for offset, line in found)
    found = lines_of(data, size, carriage_returns=False)
    assert [line for _, line in found] == io.BytesIO(data).readlines()
    assert all(data[offset : offset + len(line)] == line for offset, line in found)


@pytest.fixture
def small_cap(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(raw_rows, "MAX_ROW_BYTES", 10)
    return 10


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_long_line_is_cut_and_the_next_begins_where_it_should(small_cap: int, size: int, end: bytes) -> None:
    data = b"ab" + end + b"x" * 50 + end + b"cd" + end
    (_, first), (start, long), (next_start, last) = lines_of(data, size, carriage_returns=True)
    assert (first, last) == (b"ab" + end, b"cd" + end)
    assert (start, next_start) == (2 + len(end), 52 + 2 * len(end))
    assert len(long) > small_cap
    assert long.startswith(b"x" * 10)


def test_a_long_last_line_is_cut_too(small_cap: int) -> None:
    ((start, long),) = lines_of(b"x" * 50, 4, carriage_returns=False)
    assert (start, len(long)) == (0, small_cap + 1)


def rows_of(data: bytes, kind: str, size: int | None = None) -> list[tuple[int, bytes]]:
    return list(split_rows(reader(data, size), kind, 0))


@settings(max_examples=300)
@given(st.text(ALPHABET, max_size=40), st.sampled_from(["csv", "tsv"]), st.integers(1, 9))
def test_records_end_where_the_csv_module_ends_them(text: str, kind: str, size: int) -> None:
    records = [record.decode() for _, record in rows_of(text.encode(), kind, size)]
    delimiter = raw_rows.DELIMITERS[kind]
    expected = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    assert [next(csv.reader([record], delimiter=delimiter)) for record in records] == expected


cells = st.lists(st.lists(st.text(ALPHABET, max_size=8), min_size=2, max_size=2), min_size=1, max_size=8)


@given(cells, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_reading_may_start_at_any_record(rows: list[list[str]], end: str, quoting: int) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)
    data = text.getvalue().encode()
    found = rows_of(data, "csv")
    # Not the rows themselves: with \n for an end, the csv module leaves a lone \r without quotes.
    expected = [row for row in csv.reader(io.StringIO(text.getvalue(), newline="")) if row]
    assert [next(csv.reader([record.decode()])) for _, record in found] == expected
    for number, (offset, _) in enumerate(found):
        assert list(split_rows(reader(data[offset:]), "csv", offset)) == found[number:]


def test_a_stray_quote_costs_no_more_than_the_cap(small_cap: int) -> None:
    data = b'a,b\n1,"x\n2,y\n3,z\n4,u\n5,"v"\n'
    found = [record for _, record in rows_of(data, "csv")]
    assert found == [b"a,b\n", b'1,"x\n2,y\n3,z\n', b"4,u\n", b'5,"v"\n']


def test_a_long_quoted_field_is_cut(small_cap: int) -> None:
    data = b'a,b\n"' + b"x" * 50 + b'",1\n2,3\n'
    (_, header), (start, long), (_, last) = rows_of(data, "csv", 5)
    assert (header, last, start) == (b"a,b\n", b"2,3\n", 4)
    assert len(long) > small_cap


@pytest.mark.parametrize(
    ("kind", "data", "rows"),
    [
        ("txt", b"\n a\n\n \t\nb", [b" a\n", b"b"]),
        ("txt", b"a\rb\r\n\rc", [b"a\r", b"b\r\n", b"c"]),
        ("jsonl", b"\n{}\r\n \n{}", [b"{}\r\n", b"{}"]),
        ("jsonl", b"{\r}\n", [b"{\r}\n"]),
        ("csv", b"\r\na,b\n\n\n,\n \n", [b"a,b\n", b",\n", b" \n"]),
        ("tsv", b"a\n\t\n", [b"a\n", b"\t\n"]),
        ("csv", b'a,"b\n\nc"\n', [b'a,"b\n\nc"\n']),
    ],
)
def test_blank_lines_are_no_rows(kind: str, data: bytes, rows: list[bytes]) -> None:
    assert [row for _, row in rows_of(data, kind)] == rows


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl"])
def test_a_byte_order_mark_is_no_text(kind: str) -> None:
    assert [row for _, row in rows_of(b'\xef\xbb\xbf"a"\n"b"', kind)] == [b'"a"\n', b'"b"']
    assert rows_of(b"\xef\xbb\xbf", kind) == []


def test_a_table_is_opened_at_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf\n"u\nrl",b\n1,2\n3,4\n')
    with open_rows(str(path), "csv") as raw:
        rows = list(raw.rows)
        assert (raw.header, [row for _, row in rows]) == (b'"u\nrl",b\n', [b"1,2\n", b"3,4\n"])
    with open_rows(str(path), "csv", rows[1][0]) as raw:
        assert (raw.header, list(raw.rows)) == (b'"u\nrl",b\n', rows[1:])


def take(rows: Iterator[tuple[int, bytes]]) -> tuple[list[bytes], str]:
    """The rows up to an error, and the error's type."""
    found: list[bytes] = []
    try:
        for _, row in rows:
            found.append(row)
    except (EOFError, OSError) as error:
        return found, type(error).__name__
    return found, ""


def test_a_cut_stream_gives_the_rows_before(tmp_path: Path) -> None:
    lines = [f"line {number}\n".encode() for number in range(100_000)]
    packed = gzip.compress(b"".join(lines), 1)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with open_rows(str(path), "txt.gz") as raw:
        found, error = take(raw.rows)
    assert error == "EOFError"
    assert 10_000 < len(found) < 100_000
    assert found == lines[: len(found)]


def test_members_of_a_gzip_file_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n"))
    with open_rows(str(tmp_path / "a.txt.gz"), "txt.gz") as raw:
        assert take(raw.rows) == ([b"a\n", b"bc\n", b"d\n"], "")


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "json", "jsonl"])
def test_memory_stays_small_whatever_a_stream_holds(tmp_path: Path, kind: str) -> None:
    start = {"json": b'[{"a": "', "csv": b'h\n"', "tsv": b'h\n"'}.get(kind, b"")
    path = tmp_path / f"a.{kind}.gz"
    path.write_bytes(gzip.compress(start + b"a" * (40 << 20), 1))
    tracemalloc.start()
    try:
        with open_rows(str(path), f"{kind}.gz") as raw:
            found, error = take(raw.rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * MAX_ROW_BYTES
    assert (len(found), error) == ((0, "EOFError") if kind == "json" else (1, ""))


@pytest.mark.parametrize("line", [b'x","y\n', b'"', b'""', b',"', b'"\n', b'a,"b\r', b"\r", b",", b'"a""\n'])
def test_hostile_quotes_take_linear_time(line: bytes) -> None:
    data = line * ((4 << 20) // len(line))
    end = 0
    for start, record in split_records(reader(data), 0, "csv"):  # quadratic, it would take hours
        assert start >= end
        assert data.startswith(record[:MAX_ROW_BYTES], start)
        end = start + len(record)
    assert end <= len(data)
