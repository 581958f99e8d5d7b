"""Input shards and their units: fixed, contiguous ranges of rows that do not depend on workers or on timing."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.inputs.formats import GZIP, JSON, PARQUET, TAR, ShardError, detect_format, is_shard_name
from beam_recap.inputs.raw_rows import open_rows
from beam_recap.isolation import describe_error

MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Shard:
    """One input file. ``number`` is its position among the input's files, sorted by path within each pattern."""

    path: str
    number: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A range of one shard's rows.

    ``rows`` is None where only reading tells: a tar, a compressed text or a JSON file is one unit, read as a stream;
    ``limit`` stops it early. ``offset`` is the byte where a text's unit begins.
    """

    path: str
    shard_number: int
    format: str
    start: int = 0
    rows: int | None = None
    row_group: int = 0
    row_group_start: int = 0
    shard_rows: int | None = None
    limit: int | None = None
    offset: int = 0

    @property
    def name(self) -> str:
        """The range, readable: what a row's ``unit`` holds."""
        return f"{self.path}[{self.start}:{'' if self.rows is None else self.start + self.rows}]"

    @property
    def id(self) -> str:
        """A digest of the name, for file names."""
        return unit_id(self.name)


@dataclass(frozen=True, slots=True)
class UnitCount:
    """A unit that was read to its end: its place in the input's order and how many rows it holds."""

    shard_number: int
    start: int
    name: str
    rows: int


def unit_id(name: str) -> str:
    """20 hexadecimal digits that stand for a unit's name."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]


def match_shards(patterns: Sequence[str]) -> list[Shard]:
    """The files of all patterns, each once, numbered in order.

    A folder stands for the shards anywhere beneath it, as `is_shard_name` tells them; a Parquet file beside a tar of
    the same name is left out, because img2dataset writes a tar's rows there once more.

    Raises:
      ShardError: a pattern that matches nothing or cannot be looked up.
    """
    paths: dict[str, None] = {}
    for pattern in patterns:
        try:
            # An object store may hold an empty object in a folder's name.
            found = [path for path in files.match(pattern) if not path.endswith("/")]
            beneath = [] if found else files.match_beneath(pattern)
        except Exception as error:  # no such file system, no credentials, no network
            raise ShardError(f"{pattern} cannot be listed ({describe_error(error)})", "give files") from error
        if not found and not beneath:
            raise ShardError(f"{pattern} matches no file")
        matched = found or _shards_among(pattern, beneath)
        if not matched:
            raise ShardError(f"{pattern} is a folder without shards")
        paths.update(dict.fromkeys(matched))
    return [Shard(path, number) for number, path in enumerate(paths)]


def _shards_among(folder: str, paths: list[str]) -> list[str]:
    start = len(folder.rstrip("/")) + 1
    copies = {f"{path.removesuffix('.tar')}.parquet" for path in paths if path.endswith(".tar")}
    return [path for path in paths if is_shard_name(path[start:]) and path not in copies]


def parquet_footer(path: str) -> tuple[pa.Schema, list[int]]:
    """A Parquet file's schema and the rows of each row group.

    Raises:
      ShardError: the footer cannot be read.
    """
    try:
        with files.open_read(path) as file:
            parquet = pq.ParquetFile(file)
            metadata = parquet.metadata
            return parquet.schema_arrow, [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    except Exception as error:
        raise ShardError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})") from error


def plan_units(shard: Shard, unit_rows: int) -> Iterator[Unit]:
    """Splits a shard into ranges of at most ``unit_rows`` rows.

    A Parquet file is split within its row groups. A text is read once, to find where its rows begin. A tar, a
    compressed text and a JSON file are one unit each. A shard that cannot be read becomes one unit of format
    ``MALFORMED``, which ends as one rejection.
    """
    try:
        units = _plan(shard, unit_rows)
    except ShardError:
        units = iter([Unit(shard.path, shard.number, MALFORMED, rows=1)])
    return units


def shard_problem(path: str) -> str | None:
    """Why a shard becomes a unit of format ``MALFORMED``; None if it does not."""
    try:
        _plan(Shard(path, 0), 1_000_000)
    except ShardError as error:
        return str(error)
    return None


def _plan(shard: Shard, unit_rows: int) -> Iterator[Unit]:
    """Does all reading before it returns."""
    shard_format = detect_format(shard.path)
    if shard_format == PARQUET:
        _, groups = parquet_footer(shard.path)
        return _parquet_units(shard, groups, unit_rows)
    if shard_format in (TAR, JSON) or shard_format.endswith(GZIP):
        return iter([Unit(shard.path, shard.number, shard_format)])
    offsets, rows = _find_rows(shard.path, shard_format, unit_rows)
    return _text_units(shard, shard_format, offsets, rows, unit_rows)


def _parquet_units(shard: Shard, groups: list[int], unit_rows: int) -> Iterator[Unit]:
    first = 0
    for number, rows in enumerate(groups):
        for start in range(first, first + rows, unit_rows):
            count = min(unit_rows, first + rows - start)
            yield Unit(shard.path, shard.number, PARQUET, start, count, number, first, sum(groups))
        first += rows


def _find_rows(path: str, shard_format: str, unit_rows: int) -> tuple[array[int], int]:
    """Where every ``unit_rows``-th row of a text begins, and the number of its rows."""
    offsets = array("q")
    rows = 0
    try:
        with open_rows(path, shard_format) as raw:
            for offset, _ in raw.rows:
                if rows % unit_rows == 0:
                    offsets.append(offset)
                rows += 1
    except OSError as error:
        raise ShardError(f"{path} cannot be read ({describe_error(error)})") from error
    return offsets, rows


def _text_units(shard: Shard, shard_format: str, offsets: array[int], rows: int, unit_rows: int) -> Iterator[Unit]:
    for number, offset in enumerate(offsets):
        start = number * unit_rows
        count = min(unit_rows, rows - start)
        yield Unit(shard.path, shard.number, shard_format, start, count, shard_rows=rows, offset=offset)
