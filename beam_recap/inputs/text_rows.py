"""Reads the rows of a unit of text: a list of URLs, a table with delimiters, or JSON."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Generator, Sequence, Set
from typing import Any

from beam_recap.inputs.columns import Columns, recognise_columns, sample_from, shard_key, unreadable_row
from beam_recap.inputs.formats import GZIP, TXT, ShardError
from beam_recap.inputs.prefilter_rows import Prefilter, prefiltered
from beam_recap.inputs.raw_rows import DELIMITERS, MAX_ROW_BYTES, open_rows
from beam_recap.inputs.units import Unit
from beam_recap.isolation import describe_error
from beam_recap.records import Outcome, Reason, Stage

# Python's own limit is 128 KiB, for the whole process.
csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
_MAX_KEPT_KEYS = 64
_NO_PREFILTER = Prefilter()
_JSON_NAMES = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}

Row = dict[str, Any]


class MalformedRow(ValueError):
    """A row that is no row of its kind. The message says why."""


def read_text_rows(
    unit: Unit,
    *,
    url_column: str | None,
    caption_column: str | None,
    digest_column: str | None = None,
    prefilter: Prefilter = _NO_PREFILTER,
    done: Set[int],
) -> Generator[Outcome, None, int]:
    """The unit's rows that are not ``done``, in order.

    A row that is malformed is one rejection. A stream that breaks off is one more, after the rows before; of a range
    each row that is left is one.

    Returns:
      As the generator's value, the number of rows in the unit, the skipped ones included.
    """
    chosen = {"url_column": url_column, "caption_column": caption_column, "digest_column": digest_column}
    end = unit.limit if unit.rows is None else unit.rows
    name = unit.name
    index = 0
    try:
        with open_rows(unit.path, unit.format, unit.offset) as raw:
            parse, columns_of = row_reader(unit.format, raw.header, chosen, prefilter.columns)
            while end is None or index < end:
                _, data = next(raw.rows, (0, None))
                if data is None and unit.rows is None:
                    return index
                if data is None:
                    raise EOFError(f"the file ends after {index} of the unit's {end} rows")
                if index not in done:
                    source_row = unit.start + index
                    key = shard_key(unit.shard_number, source_row, unit.shard_rows)
                    try:
                        row = parse(data)
                        columns = columns_of(row)
                        sample = sample_from(row, columns, unit=name, index=index, source_row=source_row, key=key)
                        failure = prefilter.failure(row, columns) if sample.url is not None else None
                    except (MalformedRow, RecursionError) as error:  # deep brackets may be too many only here
                        detail = str(error) if isinstance(error, MalformedRow) else describe_error(error)
                        rejected = unreadable_row(unit, index, source_row)
                        yield rejected.reject(Stage.READ, Reason.MALFORMED_ROW, detail)
                    else:
                        if sample.url is None:
                            yield sample.reject(Stage.READ, Reason.MISSING_URL)
                        else:
                            yield sample if failure is None else prefiltered(sample, failure)
                index += 1
    except Exception as error:  # damaged files raise many types
        rows = index + 1 if unit.rows is None else unit.rows
        detail = str(error) if isinstance(error, ShardError) else describe_error(error)
        for left in range(index, rows):
            if left not in done:
                yield unreadable_row(unit, left, unit.start + left).reject(Stage.READ, Reason.CORRUPT_SHARD, detail)
        return rows
    return index


def count_text_rows(unit: Unit, at_most: int) -> int:
    """Rows of a stream, as `read_text_rows` counts them, up to a number."""
    rows = 0
    try:
        with open_rows(unit.path, unit.format) as raw:
            while rows < at_most and next(raw.rows, None) is not None:
                rows += 1
    except Exception:  # as above: the rejection that stands for the rest is a row
        return rows + 1
    return rows


def row_reader(
    shard_format: str, header: bytes | None, chosen: dict[str, Any], judged: Sequence[str] = ()
) -> tuple[Callable[[bytes], Row], Callable[[Row], Columns]]:
    """What makes a row of its bytes (or raises `MalformedRow`), and what tells its columns.

    A table's columns are those of its header. Objects may differ, so each has the columns that its own keys tell: that
    depends on no other row. A list's only column is the URL, whatever the user calls it.

    Args:
      shard_format: what `beam_recap.inputs.formats.detect_format` says.
      header: a table's header.
      chosen: the columns that the user named, as `recognise_columns` takes them.
      judged: columns that the prefilter needs besides.

    Raises:
      ShardError: the header cannot be read.
      ColumnError: it lacks a column.
    """
    kind = shard_format.removesuffix(GZIP)
    if kind in DELIMITERS:
        names = table_columns(header or b"", kind)
        columns = recognise_columns(names, **chosen)
        # Of equal names the first counts.
        needed = dict.fromkeys([*columns.names, *(name for name in judged if name in names)])
        places = [(name, names.index(name)) for name in needed]
        return functools.partial(_table_row, DELIMITERS[kind], len(names), places), lambda row: columns
    if kind == TXT:
        columns = Columns("url", None)
        return lambda data: {"url": _text(data)}, lambda row: columns
    return _json_row, functools.partial(_columns_of_object, chosen, {})


def table_columns(header: bytes, kind: str) -> list[str]:
    """The names in a table's header, without spaces around them.

    Raises:
      ShardError: the header cannot be read.
    """
    try:
        return [name.strip() for name in _fields(header, DELIMITERS[kind])]
    except MalformedRow as error:
        raise ShardError(f"the header line cannot be read ({error})") from None


def _table_row(delimiter: str, width: int, places: list[tuple[str, int]], data: bytes) -> Row:
    fields = _fields(data, delimiter)
    if len(fields) != width:
        raise MalformedRow(f"the row has {len(fields)} fields, the header {width}")
    return {name: fields[place] for name, place in places}


def _fields(data: bytes, delimiter: str) -> list[str]:
    text = _text(data)
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise MalformedRow(f"the quotes are not as in RFC 4180 ({error})") from None


def _json_row(data: bytes) -> Row:
    text = _text(data)
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedRow(f"no JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise MalformedRow(f"no JSON: {describe_error(error)}") from None
    if not isinstance(row, dict):
        raise MalformedRow(f"the JSON is no object but {_JSON_NAMES.get(type(row), 'a number')}")
    return row


def _columns_of_object(chosen: dict[str, Any], known: dict[tuple[str, ...], Columns], row: Row) -> Columns:
    keys = tuple(row)
    columns = known.get(keys)
    if columns is None:
        columns = recognise_columns(keys, **chosen, needs_url=False)
        if len(known) < _MAX_KEPT_KEYS and len(keys) < _MAX_KEPT_KEYS:
            known[keys] = columns
    return columns


def _text(data: bytes) -> str:
    if len(data) > MAX_ROW_BYTES:
        raise MalformedRow(f"the row has more than {MAX_ROW_BYTES} bytes")
    if b"\0" in data:
        raise MalformedRow(f"the row holds a NUL at byte {data.index(0)}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRow(f"the row is no UTF-8 at byte {error.start}") from None
