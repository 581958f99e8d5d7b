"""Splits a JSON file into the texts of its objects: an array a chunk at a time, an object of columns as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from beam_recap.inputs.formats import ShardError

MAX_COLUMNS_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 18
_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*")
_STRUCTURE = re.compile(rb'["\[\]{},]')
# The rest of a string. Possessive, so that hostile files cost no memory.
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


def split_json(read: Callable[[int], bytes], max_row_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The rows of a JSON file: a position (not an offset) and the text of each object.

    Args:
      read: gives up to so many bytes; none at the end.
      max_row_bytes: longer elements of an array are cut, but stay longer than that.

    Raises:
      ShardError: it holds one object that is no object of columns.
      ValueError: something follows the array. After its rows.
      EOFError: the array does not end. After its rows.
    """
    chunk = head = read(_CHUNK_BYTES)
    while chunk and _START.fullmatch(head):  # nothing but space so far
        head = chunk = read(_CHUNK_BYTES)
    head = head[_START.match(head).end() :]  # type: ignore[union-attr]  # it matches anything
    if head[:1] == b"{":
        yield from enumerate(map(_to_bytes, _rows_of_columns(head, read)))
    elif head[:1] == b"[":
        yield from enumerate(_split_array(head[1:] or read(_CHUNK_BYTES), read, max_row_bytes))
    elif head:
        raise ShardError("the file holds neither an array of JSON objects nor an object of columns")


def _split_array(chunk: bytes, read: Callable[[int], bytes], max_row_bytes: int) -> Iterator[bytes]:
    """The array's elements, by structure alone: quotes, brackets and commas. ``chunk`` follows the opening bracket."""
    piece = bytearray()
    count = depth = position = 0
    in_string = False
    while chunk:
        begin = 0
        while position < len(chunk):
            if in_string:
                position = _STRING.match(chunk, position).end()  # type: ignore[union-attr]
                if position == len(chunk):
                    break
                if chunk[position] == 0x5C:  # a backslash, whose character is in the next chunk
                    position += 2
                    break
                in_string = False
                position += 1
                continue
            found = _STRUCTURE.search(chunk, position)
            if found is None:
                position = len(chunk)
                break
            position = found.end()
            token = found.group()
            if token == b'"':
                in_string = True
            elif token in b"[{":
                depth += 1
            elif depth == 0 and token in b",]":
                piece += chunk[begin : position - 1]
                if token == b"," or count or piece.strip():
                    yield bytes(piece)
                piece.clear()
                count += 1
                begin = position
                if token == b"]":
                    _check_end(chunk[position:], read)
                    return
            elif token in b"]}":
                depth = max(0, depth - 1)
        piece += chunk[begin:]
        del piece[max_row_bytes + 1 :]
        position -= len(chunk)
        chunk = read(_CHUNK_BYTES)
    raise EOFError(f"the array does not end after its {count} complete elements")


def _check_end(rest: bytes, read: Callable[[int], bytes]) -> None:
    while not rest.strip():
        rest = read(_CHUNK_BYTES)
        if not rest:
            return
    raise ValueError("something follows the end of the array")


def _rows_of_columns(head: bytes, read: Callable[[int], bytes]) -> Iterator[dict[str, Any]]:
    """Rows of ``{"url": {"0": ..., "1": ...}, ...}``, as pandas writes a table, or of ``{"url": [...], ...}``."""
    data = bytearray(head)
    while chunk := read(_CHUNK_BYTES):
        data += chunk
        if len(data) > MAX_COLUMNS_BYTES:
            raise ShardError(
                f"the file holds one JSON object of more than {MAX_COLUMNS_BYTES} bytes",
                "write it as an array of objects or as .jsonl",
            )
    try:
        table = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if str(error).startswith("Extra data"):
            raise ShardError("the file holds several JSON objects, no array of them", "rename it to .jsonl") from None
        raise ShardError(f"the file holds no JSON ({error})") from None
    columns = {name: _cells(column) for name, column in table.items()}
    # In the order of the first column that has a row; pandas gives all columns the same index.
    index = dict.fromkeys(key for cells in columns.values() for key in cells)
    for key in index:
        yield {name: cells.get(key) for name, cells in columns.items()}


def _cells(column: Any) -> dict[Any, Any]:
    if isinstance(column, list):
        return dict(enumerate(column))
    if isinstance(column, dict):
        return column
    raise ShardError("the file holds one JSON object, no array of objects and no object of columns")


def _to_bytes(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode()
