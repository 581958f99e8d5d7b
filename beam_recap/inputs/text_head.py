"""Looks at the first rows of a shard of text, to say before a run what is wrong with all of them."""

from __future__ import annotations

import itertools
import re

from beam_recap.inputs.formats import GZIP, TXT, ShardError
from beam_recap.inputs.json_array import MAX_COLUMNS_BYTES
from beam_recap.inputs.raw_rows import DELIMITERS, RawRows, open_rows
from beam_recap.inputs.text_rows import MalformedRow, row_reader, table_columns
from beam_recap.isolation import describe_error

_ROWS_CHECKED = 100
_BYTES_CHECKED = 2 * MAX_COLUMNS_BYTES  # rows may be long, and compressed ones without end
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOCAL = re.compile(r"/|file:", re.IGNORECASE)


def text_columns(path: str, shard_format: str, *, may_be_local: bool = False) -> list[str]:
    """The columns of a shard of text: its header's, or all those of its first objects.

    Args:
      path: the file.
      shard_format: what `beam_recap.inputs.formats.detect_format` says.
      may_be_local: a list may hold paths, too.

    Raises:
      ShardError: there are no rows, or none of the first is what the name says.
    """
    kind = shard_format.removesuffix(GZIP)
    try:
        with open_rows(path, shard_format, max_bytes=_BYTES_CHECKED) as raw:
            if kind in DELIMITERS:
                return table_columns(raw.header or b"", kind)
            first = _first_rows(raw)
    except ShardError as error:
        raise ShardError(f"{path} is no readable {kind} file: {error}", error.remedy) from None
    except Exception as error:  # damaged files raise many types
        raise ShardError(f"{path} cannot be read ({describe_error(error)})") from error
    if not first:
        raise ShardError(f"{path} holds no rows")
    if kind == TXT:
        lines = [data.decode("utf-8", "replace").strip() for data in first]
        if not any(_URL.match(line) or (may_be_local and _LOCAL.match(line)) for line in lines):
            wanted = "URL or absolute path" if may_be_local else "URL"
            remedy = f"give one {wanted} per line"
            if any(map(_LOCAL.match, lines)):
                remedy = "for paths of pictures give --allow_local_files=true"
            raise ShardError(f"{path} holds no {wanted} in its first {len(first)} lines", remedy)
        return ["url"]
    parse, _ = row_reader(shard_format, None, {})
    names: dict[str, None] = {}
    problem = ""
    for data in first:
        try:
            names.update(dict.fromkeys(parse(data)))
        except MalformedRow as error:
            problem = problem or str(error)
    if problem and not names:
        raise ShardError(f"{path} holds no JSON object in its first {len(first)} rows ({problem})")
    return list(names)


def _first_rows(raw: RawRows) -> list[bytes]:
    """The first rows; a damage after the first of them is the run's to report."""
    first: list[bytes] = []
    try:
        for _, data in itertools.islice(raw.rows, _ROWS_CHECKED):
            first.append(data)
    except ShardError:
        raise
    except Exception:  # damaged files raise many types
        if not first:
            raise
    return first
