"""Input shards and their units: fixed, contiguous ranges of rows that do not depend on workers or on timing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.isolation import describe_error

PARQUET = "parquet"
TAR = "tar"
MALFORMED = "malformed"


class ShardError(ValueError):
    """A shard that cannot be read as what it should be. The message says which and why."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One input file. ``number`` is its position among the input's files, sorted by path within each pattern."""

    path: str
    number: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A range of one shard's rows.

    ``rows`` is None where only reading tells: a tar is one unit, read as a stream. ``limit`` stops a tar early.
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

    Raises:
      ShardError: a pattern that matches nothing or cannot be looked up.
    """
    paths: dict[str, None] = {}
    for pattern in patterns:
        try:
            matched = files.match(pattern)
        except Exception as error:  # no such file system, no credentials, no network
            raise ShardError(f"{pattern} cannot be listed ({describe_error(error)})") from error
        if not matched:
            raise ShardError(f"{pattern} matches no file")
        paths.update(dict.fromkeys(matched))
    return [Shard(path, number) for number, path in enumerate(paths)]


def detect_format(path: str) -> str:
    """``PARQUET`` or ``TAR``, by content.

    Raises:
      ShardError: the file is neither, or cannot be read.
    """
    try:
        with files.open_read(path) as file:
            head = file.read(512)
    except Exception as error:
        raise ShardError(f"{path} cannot be read ({error})") from error
    if head[:4] == b"PAR1":
        return PARQUET
    if head[257:262] == b"ustar" or (len(head) == 512 and not any(head)):
        return TAR
    raise ShardError(f"{path} is neither a Parquet file nor a tar")


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
    """Splits a shard: a Parquet file into ranges of at most ``unit_rows`` rows within a row group, a tar not at all.

    A shard that cannot be read becomes one unit of format ``MALFORMED``, which ends as one rejection.
    """
    try:
        if detect_format(shard.path) == TAR:
            yield Unit(shard.path, shard.number, TAR)
            return
        _, groups = parquet_footer(shard.path)
    except ShardError:
        yield Unit(shard.path, shard.number, MALFORMED, rows=1)
        return
    first = 0
    for number, rows in enumerate(groups):
        for start in range(first, first + rows, unit_rows):
            count = min(unit_rows, first + rows - start)
            yield Unit(shard.path, shard.number, PARQUET, start, count, number, first, sum(groups))
        first += rows
