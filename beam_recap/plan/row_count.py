"""How many rows an input has: counted in all its files, or in a random part of them and extrapolated by their sizes."""

from __future__ import annotations

import glob
import math
import os
import random
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from apache_beam.io.filesystems import FileSystems

from beam_recap.inputs.formats import PARQUET, TAR, ShardError, detect_format
from beam_recap.inputs.tar_rows import count_rows as count_tar_rows
from beam_recap.inputs.text_rows import count_text_rows
from beam_recap.inputs.units import MALFORMED, Shard, Unit, parquet_footer

# Counting stops, in a random order of the files, after so many of them or so many bytes, but not before _LEAST.
_MOST_FILES = 2048
_MOST_BYTES = 2 << 30
_LEAST_FILES = 16
_AT_ONCE = 16  # files that are looked at at the same time
# Of a tar only headers are read, which is little of a local one; a remote one comes in large pieces, and so whole.
_LOCAL_TAR_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class CountedShard:
    """A file whose rows are known. ``format`` is that of `detect_format`, or `MALFORMED`."""

    shard: Shard
    format: str
    rows: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class RowCount:
    """Rows of the whole input.

    Attributes:
      rows: all of them, or an estimate.
      standard_error: of the estimate; 0 where all were counted or told.
      counted: files that were counted, in the input's order: all, or a random part.
      files: how many there are.
      source: where the number is from, in words.
    """

    rows: float
    standard_error: float
    counted: tuple[CountedShard, ...]
    files: int
    source: str


def count_rows(shards: Sequence[Shard], *, seed: int, max_rows: int | None = None) -> RowCount:
    """Counts rows, in as many files as it takes.

    Args:
      shards: the input's files.
      seed: of the order in which they are counted.
      max_rows: only the first so many rows matter; None: all.

    Raises:
      ShardError: no file can be looked up any more.
    """
    sizes = _sizes([shard.path for shard in shards])
    if max_rows is not None:
        return _count_first(shards, sizes, max_rows)
    order = list(shards)
    random.Random(seed).shuffle(order)
    counted: list[CountedShard] = []
    read = 0.0
    for start in range(0, len(order), _AT_ONCE):
        if start >= _MOST_FILES or (start >= _LEAST_FILES and read > _MOST_BYTES):
            break
        part = _count_all(order[start : start + _AT_ONCE], sizes)
        counted += part
        read += sum(map(_bytes_read, part))
    rows, standard_error = extrapolate(
        [shard.rows for shard in counted], [shard.size for shard in counted], sum(sizes.values()), len(shards)
    )
    kinds = ", ".join(sorted({shard.format for shard in counted}))
    source = f"counted in all {len(shards)} files ({kinds})"
    if len(counted) < len(shards):
        source = f"counted in {len(counted)} of {len(shards)} files ({kinds}), the others by their sizes"
    counted.sort(key=lambda one: one.shard.number)
    return RowCount(rows, standard_error, tuple(counted), len(shards), source)


def _count_first(shards: Sequence[Shard], sizes: dict[str, int], max_rows: int) -> RowCount:
    counted: list[CountedShard] = []
    left = max_rows
    for start in range(0, len(shards), _AT_ONCE):
        for one in _count_all(shards[start : start + _AT_ONCE], sizes):
            rows = min(left, one.rows)
            counted.append(CountedShard(one.shard, one.format, rows, one.size))
            left -= rows
            if left <= 0:
                return RowCount(max_rows, 0.0, tuple(counted), len(counted), f"the first {max_rows:,} rows")
    return RowCount(max_rows - left, 0.0, tuple(counted), len(counted), f"counted in all {len(counted)} files")


def extrapolate(rows: Sequence[int], sizes: Sequence[int], total_size: int, files: int) -> tuple[float, float]:
    """The rows of all files by the rows per byte of some, chosen at random; and its standard error.

    The error is that of the ratio for what was not counted, plus the scatter of the files that were not. Source:
    W. G. Cochran, Sampling Techniques, chapter 6 (the ratio estimator).
    """
    counted, left = len(rows), files - len(rows)
    known, size = sum(rows), sum(sizes)
    if not left or not size:
        return float(known), 0.0
    ratio = known / size
    left_size = max(0, total_size - size)
    if counted < 2:
        return known + ratio * left_size, ratio * left_size  # nothing is known of how files differ
    variance = sum((n - ratio * s) ** 2 for n, s in zip(rows, sizes, strict=True)) / (counted - 1)
    mean = size / counted
    return known + ratio * left_size, math.sqrt(variance * ((left_size / mean) ** 2 / counted + left))


def _count_all(shards: Iterable[Shard], sizes: dict[str, int]) -> list[CountedShard]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda shard: _count(shard, sizes[shard.path]), shards))


def _count(shard: Shard, size: int) -> CountedShard:
    try:
        kind = detect_format(shard.path)
        if kind == PARQUET:
            rows = sum(parquet_footer(shard.path)[1])
        elif kind == TAR:
            rows = count_tar_rows(shard.path)
        else:
            rows = count_text_rows(Unit(shard.path, shard.number, kind), 1 << 60)
    except (ShardError, OSError, EOFError, tarfile.TarError):
        return CountedShard(shard, MALFORMED, 1, size)  # as the main job: one rejection
    return CountedShard(shard, kind, rows, size)


def _bytes_read(one: CountedShard) -> float:
    if one.format in (PARQUET, MALFORMED):
        return 0.0
    share = _LOCAL_TAR_SHARE if one.format == TAR and "://" not in one.shard.path else 1.0
    return share * one.size


def _sizes(paths: Sequence[str]) -> dict[str, int]:
    remote = [path for path in paths if "://" in path]
    sizes = {path: os.path.getsize(path) for path in paths if "://" not in path}
    for directory in sorted({path.rsplit("/", 1)[0] for path in remote}):
        (listed,) = FileSystems.match([f"{glob.escape(directory)}/*"])
        sizes |= {metadata.path: metadata.size_in_bytes for metadata in listed.metadata_list}
    return {path: sizes.get(path, 0) for path in paths}
