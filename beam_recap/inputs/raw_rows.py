"""Splits text shards into raw rows: the unparsed bytes of each, and the offset where it begins.

Files are read a chunk at a time. A row longer than `MAX_ROW_BYTES` is cut but stays longer than that, so that its
reader can tell. Where a row ends depends only on the bytes from its beginning on: a reader that starts at the offset
of any row finds the same rows as one that starts at the first.
"""

from __future__ import annotations

import contextlib
import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from beam_recap import files
from beam_recap.inputs.formats import CSV, GZIP, JSON, JSON_LINES, TSV, ShardError
from beam_recap.inputs.json_array import split_json

MAX_ROW_BYTES = 1 << 20
DELIMITERS = {CSV: ",", TSV: "\t"}
_CHUNK_BYTES = 1 << 18
_BLANK = (b"\n", b"\r\n", b"\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\n|\r\n|\r(?=[^\n])")  # a \r at a chunk's end may be half of a \r\n


def _record_pattern(delimiter: str) -> re.Pattern[bytes]:
    """A whole record of a table (RFC 4180): quotes open a field only as its first character, two stand for one.

    What Python's csv module makes of other quotes is kept: they are part of the field. Every repetition is possessive,
    so that hostile rows cost neither time nor memory.
    """
    field = rf'(?:"[^"]*+(?:""[^"]*+)*+"[^{delimiter}\r\n]*+|(?!")[^{delimiter}\r\n]*+)'
    return re.compile(rf"{field}(?:{delimiter}{field})*+(?:\n|\r\n|\r(?=[^\n]))".encode())


_RECORDS = {kind: _record_pattern(delimiter) for kind, delimiter in DELIMITERS.items()}
# All records of a text at once, and as a last item what follows them.
_RECORDS_AND_REST = {kind: re.compile(record.pattern + rb"|(?s:.+)\Z") for kind, record in _RECORDS.items()}

Read = Callable[[int], bytes]
RawRow = tuple[int, bytes]  # offset and bytes, with the row's end


@dataclass(frozen=True, slots=True)
class RawRows:
    """A text shard's rows. ``header`` is the header's bytes; None where the kind has none."""

    header: bytes | None
    rows: Iterator[RawRow]


@contextlib.contextmanager
def open_rows(path: str, shard_format: str, offset: int = 0, max_bytes: int | None = None) -> Iterator[RawRows]:
    """Opens a shard of text.

    Args:
      path: the file.
      shard_format: what `beam_recap.inputs.formats.detect_format` says.
      offset: where to start: at a row that an earlier reading found; 0 for the first. Not for compressed or JSON files.
      max_bytes: take the file to end after about so many (decompressed) bytes; None: read all.

    Raises:
      ShardError: there is no header. The rows raise what a damaged file raises (`EOFError`, `OSError`, `zlib.error`,
        `ValueError`), after the rows before the damage.
    """
    kind = shard_format.removesuffix(GZIP)
    with files.open_read(path) as file:
        read = _reader(file, shard_format)
        if max_bytes is not None:
            read = _limited(read, max_bytes)
        if kind not in DELIMITERS:
            if offset:
                file.seek(offset)
            yield RawRows(None, split_rows(read, kind, offset))
            return
        rows = split_rows(read, kind, 0)
        header = next(rows, None)
        if header is None:
            raise ShardError("there is no header line")
        if offset:
            file.seek(offset)
            rows = split_rows(read, kind, offset)
        yield RawRows(header[1], rows)


def split_rows(read: Read, kind: str, offset: int) -> Iterator[RawRow]:
    """Rows of any kind from an offset on, the header included. Blank lines are no rows."""
    if kind == JSON:
        return split_json(read, MAX_ROW_BYTES)
    if offset == 0:
        offset, read = _after_mark(read)
    if kind in DELIMITERS:
        records = split_records(read, offset, kind)
        return ((start, record) for start, record in records if record not in _BLANK)
    lines = split_lines(read, offset, carriage_returns=kind != JSON_LINES)
    return ((start, line) for start, line in lines if len(line) > MAX_ROW_BYTES or line.strip())


def split_lines(read: Read, offset: int, *, carriage_returns: bool) -> Iterator[RawRow]:
    r"""Lines with their ends, blank ones too.

    Args:
      read: gives up to so many bytes; none at the end.
      offset: of the first byte that it gives.
      carriage_returns: a line ends at ``\n``, ``\r\n`` or a lone ``\r``; otherwise at ``\n`` only.
    """
    tail, lost = b"", 0  # the line that has not ended yet, and how many of its bytes were dropped
    while chunk := read(_CHUNK_BYTES):
        data = tail + chunk
        lines = data.splitlines(keepends=True) if carriage_returns else _split_at_newlines(data)
        # A \r at the chunk's end may be half of a \r\n.
        tail = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            yield offset, line
            offset += len(line) + lost
            lost = 0
        if len(tail) > MAX_ROW_BYTES + 1:
            lost += len(tail) - MAX_ROW_BYTES - 1
            tail = tail[:MAX_ROW_BYTES] + tail[-1:]
    if tail:
        yield offset, tail


def split_records(read: Read, offset: int, kind: str) -> Iterator[RawRow]:
    """Records of a table, blank ones too: newlines in quoted fields end none.

    A record that is longer than the cap ends at the first line end after it: what a stray quote costs is bounded.
    """
    tail, lost = b"", 0  # the record that has not ended yet, and how many of its bytes were dropped
    while chunk := read(_CHUNK_BYTES):
        data = tail + chunk
        while True:
            records, tail = _whole_records(data, kind)
            for number, record in enumerate(records):
                if len(record) > MAX_ROW_BYTES:
                    tail = b"".join(records[number:]) + tail
                    break
                yield offset, record
                offset += len(record)
            if len(tail) <= MAX_ROW_BYTES:
                break
            end = _LINE_END.search(tail, MAX_ROW_BYTES)
            if end is None:
                lost += len(tail) - MAX_ROW_BYTES - 1
                tail = tail[:MAX_ROW_BYTES] + tail[-1:]
                break
            yield offset, tail[: end.end()]
            offset += end.end() + lost
            data, lost = tail[end.end() :], 0
    if tail:
        yield offset, tail


def _whole_records(data: bytes, kind: str) -> tuple[list[bytes], bytes]:
    records = _RECORDS_AND_REST[kind].findall(data)
    is_whole = not records or _RECORDS[kind].fullmatch(records[-1])
    return records, b"" if is_whole else records.pop()


def _reader(file: IO[bytes], shard_format: str) -> Read:
    # read1 gives what was decompressed before a damage; read would lose it.
    return gzip.GzipFile(fileobj=file, mode="rb").read1 if shard_format.endswith(GZIP) else file.read


def _limited(read: Read, max_bytes: int) -> Read:
    left = max_bytes

    def read_some(size: int) -> bytes:
        nonlocal left
        data = read(size) if left > 0 else b""
        left -= len(data)
        return data

    return read_some


def _split_at_newlines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    last = lines.pop()
    ended = [line + b"\n" for line in lines]
    return [*ended, last] if last else ended


def _after_mark(read: Read) -> tuple[int, Read]:
    """Where a text begins after its byte order mark, if it has one, and what reads it from there."""
    head = read(_CHUNK_BYTES)
    text = head.removeprefix(_BYTE_ORDER_MARK)
    first = [text] if text else []
    return len(head) - len(text), lambda size: first.pop() if first else read(size)
