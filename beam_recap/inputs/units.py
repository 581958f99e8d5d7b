"""Input shards and their units: fixed, contiguous ranges of rows that do not depend on workers or on timing."""

from __future__ import annotations

import hashlib
import itertools
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.inputs.formats import (
    GZIP,
    JSON,
    PARQUET,
    TAR,
    ShardError,
    detect_format,
    is_picture_name,
    is_shard_name,
    list_of_pictures,
)
from beam_recap.inputs.raw_rows import open_rows
from beam_recap.isolation import describe_error

MALFORMED = "malformed"

# Where the user has no wish: at most so many rows per unit, but enough units that every worker gets some, and enough
# rows in each that it is worth a checkpoint file.
MOST_ROWS, LEAST_ROWS = 2000, 8
_ENOUGH_UNITS = 64


@dataclass(frozen=True, slots=True)
class Shard:
    """One input file. ``number`` is its position among all ``total`` files of the input, sorted by path."""

    path: str
    number: int
    total: int = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """A range of one shard's rows.

    ``rows`` is None where only reading tells: a tar, a compressed text or a JSON file is one unit, read as a stream;
    ``limit`` stops it early. ``offset`` is the byte where a text's unit begins. ``number`` counts the shard's units.
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
    number: int = 0

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


def unit_size(shard_rows: int, shards: int) -> int:
    """Rows per unit of a shard where the user has no wish.

    It depends on the input alone, never on workers: a small input of few shards is cut finer than a large one.

    Args:
      shard_rows: of this shard.
      shards: the number of the input's shards.
    """
    wanted = math.ceil(shard_rows * shards / (_ENOUGH_UNITS * LEAST_ROWS)) * LEAST_ROWS
    return min(MOST_ROWS, max(LEAST_ROWS, wanted))


def match_shards(patterns: Sequence[str]) -> list[Shard]:
    """The files of all patterns, each once, numbered by path: the order of the patterns does not matter.

    A folder stands for the shards anywhere beneath it, as `is_shard_name` tells them; a Parquet file beside a tar of
    the same name is left out, because img2dataset writes a tar's rows there once more.

    Raises:
      ShardError: a pattern that matches nothing or cannot be looked up.
    """
    paths: set[str] = set()
    for pattern in patterns:
        try:
            # An object store may hold an empty object in a folder's name.
            found = [path for path in files.match(pattern) if not path.endswith("/")]
            beneath = [] if found else files.match_beneath(pattern)
        except Exception as error:  # no such file system, no credentials, no network
            raise ShardError(f"{pattern} cannot be listed ({describe_error(error)})", "give a path that can") from error
        if not found and not beneath:
            raise ShardError(f"{pattern} matches no file")
        matched = found or _shards_among(pattern, beneath)
        if not matched:
            if any(map(is_picture_name, beneath)):
                raise ShardError(f"{pattern} is a folder of pictures, without shards", list_of_pictures(pattern))
            raise ShardError(f"{pattern} is a folder without shards")
        paths.update(matched)
    return [Shard(path, number, len(paths)) for number, path in enumerate(sorted(paths))]


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


def plan_units(shard: Shard, unit_rows: int | None = None) -> Iterator[Unit]:
    """Splits a shard into ranges of at most ``unit_rows`` rows; None: of `unit_size`.

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


def _plan(shard: Shard, unit_rows: int | None) -> Iterator[Unit]:
    """Does all reading before it returns."""
    shard_format = detect_format(shard.path)
    if shard_format == PARQUET:
        _, groups = parquet_footer(shard.path)
        return _parquet_units(shard, groups, unit_rows or unit_size(sum(groups), shard.total))
    if shard_format in (TAR, JSON) or shard_format.endswith(GZIP):
        return iter([Unit(shard.path, shard.number, shard_format)])
    offsets, rows, size = _find_rows(shard, shard_format, unit_rows)
    return _text_units(shard, shard_format, offsets, rows, size)


def _parquet_units(shard: Shard, groups: list[int], unit_rows: int) -> Iterator[Unit]:
    first = 0
    numbers = itertools.count()
    for group, rows in enumerate(groups):
        for start in range(first, first + rows, unit_rows):
            count = min(unit_rows, first + rows - start)
            place = (start, count, group, first, sum(groups))
            yield Unit(shard.path, shard.number, PARQUET, *place, number=next(numbers))
        first += rows


def _find_rows(shard: Shard, shard_format: str, unit_rows: int | None) -> tuple[array[int], int, int]:
    """Where a text's units begin, the number of its rows, and how many are in a unit."""
    offsets = array("q")
    rows = 0
    step = unit_rows or LEAST_ROWS
    try:
        with open_rows(shard.path, shard_format) as raw:
            for offset, _ in raw.rows:
                if rows % step == 0:
                    offsets.append(offset)
                    if unit_rows is None and step < MOST_ROWS and unit_size(rows + 1, shard.total) == MOST_ROWS:
                        # It can only grow from here, so fewer offsets need be kept.
                        offsets = offsets[:: MOST_ROWS // step]
                        step = MOST_ROWS
                rows += 1
    except OSError as error:
        raise ShardError(f"{shard.path} cannot be read ({describe_error(error)})") from error
    size = unit_rows or unit_size(rows, shard.total)
    return offsets[:: size // step], rows, size


def _text_units(shard: Shard, shard_format: str, offsets: array[int], rows: int, unit_rows: int) -> Iterator[Unit]:
    for number, offset in enumerate(offsets):
        start = number * unit_rows
        count = min(unit_rows, rows - start)
        place = {"start": start, "rows": count, "shard_rows": rows, "offset": offset, "number": number}
        yield Unit(shard.path, shard.number, shard_format, **place)
