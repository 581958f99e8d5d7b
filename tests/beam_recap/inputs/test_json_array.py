from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.inputs import json_array
from beam_recap.inputs.formats import ShardError
from beam_recap.inputs.json_array import split_json

CAP = 1 << 20


def reader(data: bytes, size: int | None = None) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)
    return lambda asked: stream.read(size or asked)


def pieces(data: bytes, size: int | None = None, cap: int = CAP) -> list[bytes]:
    return [piece for _, piece in split_json(reader(data, size), cap)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\,[]{}\n\t é', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\,:', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=5), st.integers(1, 9), st.sampled_from([None, 2]), st.booleans())
def test_an_array_is_split_as_json_reads_it(rows: list[Any], size: int, indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
    for given_data in (data, b"\n " + data + b" \n"):
        assert [json.loads(piece) for piece in pieces(given_data, size)] == rows


def test_a_byte_order_mark_is_passed() -> None:
    assert pieces(b'\xef\xbb\xbf [{"a": 1}]') == [b'{"a": 1}']
    assert pieces(b"\xef\xbb\xbf  ") == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_long_element_is_cut_and_the_next_is_whole(size: int) -> None:
    data = json.dumps([{"a": 1}, {"b": "x," * 100, "c": [1, 2]}, {"d": 2}]).encode()
    first, long, last = pieces(data, size, cap=20)
    assert (json.loads(first), json.loads(last), len(long) > 20) == ({"a": 1}, {"d": 2}, True)
    assert len(long) <= 21 + size or size > 100


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"[]", []),
        (b" [ \n ] ", []),
        (b'[{"a": 1},]', [b'{"a": 1}', b""]),
        (b"[,]", [b"", b""]),
        (b'[{"a": nope}, {"b": 1}]', [b'{"a": nope}', b' {"b": 1}']),
        (b'[{"a": 1} {"b": 1}]', [b'{"a": 1} {"b": 1}']),
        (b"[1}, 2]", [b"1}", b" 2"]),
    ],
)
def test_damaged_elements_stay_in_their_place(data: bytes, rows: list[bytes]) -> None:
    assert pieces(data) == rows


@pytest.mark.parametrize(
    ("data", "before", "error"),
    [
        (b'[{"a": 1}, {"b": 2}', 1, EOFError),
        (b'[{"a": 1}, {"b": "', 1, EOFError),
        (b'[{"a": 1}, {"b": "\\', 1, EOFError),
        (b"[", 0, EOFError),
        (b'[{"a": 1}][{"a": 1}]', 1, ValueError),
        (b"text", 0, ShardError),
        (b'{"url": "http://x"}', 0, ShardError),
        (b'{"url": ["http://x"]', 0, ShardError),
        (b'{"url": ["a"]}\n{"url": ["b"]}', 0, ShardError),
        (b'{"a":' * 100_000, 0, ShardError),
        (b'{"url": ["\xff"]}', 0, ShardError),
    ],
)
def test_what_breaks_off_gives_the_rows_before(data: bytes, before: int, error: type[Exception]) -> None:
    found = split_json(reader(data), CAP)
    assert len([next(found) for _ in range(before)]) == before
    with pytest.raises(error):
        next(found)


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ({"url": {"0": "u", "1": "v"}, "text": {"0": "a", "1": None}}, [("u", "a"), ("v", None)]),
        ({"url": ["u", "v"], "text": ["a", "b"]}, [("u", "a"), ("v", "b")]),
        ({"url": ["u", "v"], "text": ["a"]}, [("u", "a"), ("v", None)]),
        ({}, []),
        ({"url": {}}, []),
    ],
)
def test_an_object_of_columns(table: dict[str, Any], rows: list[tuple[str, str | None]]) -> None:
    found = [json.loads(piece) for piece in pieces(json.dumps(table).encode(), 7)]
    assert found == [{"url": url, "text": text} for url, text in rows]


def test_lines_in_a_json_file_have_a_remedy() -> None:
    with pytest.raises(ShardError) as caught:
        pieces(b'{"url": "a"}\n{"url": "b"}\n')
    assert caught.value.remedy == "rename it to .jsonl"


def test_an_object_of_columns_has_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_COLUMNS_BYTES", 100)
    with pytest.raises(ShardError, match="more than 100 bytes") as caught:
        pieces(json.dumps({"url": ["u"] * 100}).encode(), 16)
    assert ".jsonl" in caught.value.remedy
