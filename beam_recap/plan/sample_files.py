"""Writes a sample's rows to small files of the same kinds, so that the main job reads them as it reads the whole."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.inputs.formats import CSV, GZIP, JSON, PARQUET, TAR, TSV
from beam_recap.inputs.raw_rows import open_rows
from beam_recap.inputs.units import Unit
from beam_recap.plan.row_sample import Place

_BATCH_ROWS = 1024
_BUFFER_BYTES = 1 << 20  # per column; without it a row group is read into memory whole
_AT_ONCE = 8  # files that are read at the same time

Written = dict[str, list[int]]
"""By path, the place of each row, in order."""


def write_sample(places: Sequence[Place], folders: Sequence[Path], part_of: Callable[[Place, int], int]) -> Written:
    """Copies rows, one file for each file of the input and each folder.

    A row that cannot be read any more is left out: the main job would reject it, at no cost.

    Args:
      places: what to copy.
      folders: where to, there already.
      part_of: the number of the folder that gets a row of a place.
    """
    by_path: dict[str, list[Place]] = {}
    for place in places:
        by_path.setdefault(place.unit.path, []).append(place)

    def copy(numbered: tuple[int, list[Place]]) -> Written:
        number, group = numbered
        kind = group[0].unit.format
        ending = kind.removesuffix(GZIP)
        sinks = {part: folder / f"{number:05d}.{ending}" for part, folder in enumerate(folders)}
        copied = {PARQUET: _copy_parquet, TAR: _copy_tar}.get(kind, _copy_text)(group, sinks, part_of)
        return {str(sinks[part]): rows for part, rows in copied.items()}

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {path: rows for done in pool.map(copy, enumerate(by_path.values())) for path, rows in done.items()}


Parts = dict[int, list[int]]  # by folder: the place of each row that it got, in order


def _copy_parquet(places: Sequence[Place], sinks: Mapping[int, Path], part_of: Callable[[Place, int], int]) -> Parts:
    tables: dict[int, list[pa.RecordBatch]] = {}
    parts: Parts = {}
    schema = None
    with files.open_read(places[0].unit.path) as file:
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        schema = parquet.schema_arrow
        for place in places:
            first = place.unit.start - place.unit.row_group_start
            wanted = {first + row: row for row in place.rows}
            for start, batch in _batches(parquet, place.unit, last=max(wanted)):
                here = [row for row in wanted if start <= row < start + batch.num_rows]
                for row in here:
                    part = part_of(place, wanted[row])
                    tables.setdefault(part, []).append(batch.slice(row - start, 1))
                    parts.setdefault(part, []).append(place.number)
    for part, batches in tables.items():
        pq.write_table(pa.Table.from_batches(batches, schema=schema), sinks[part])
    return parts


def _batches(parquet: pq.ParquetFile, unit: Unit, last: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    start = 0
    for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[unit.row_group]):
        yield start, batch
        start += batch.num_rows
        if start > last:
            return


def _copy_text(places: Sequence[Place], sinks: Mapping[int, Path], part_of: Callable[[Place, int], int]) -> Parts:
    kind = places[0].unit.format.removesuffix(GZIP)
    lines: dict[int, list[bytes]] = {}
    parts: Parts = {}
    header = b""
    for place in places:
        with open_rows(place.unit.path, place.unit.format, place.unit.offset) as raw:
            header = raw.header or b""
            wanted = set(place.rows)
            for index, (_, data) in enumerate(raw.rows):
                if index in wanted:
                    part = part_of(place, index)
                    lines.setdefault(part, []).append(data)
                    parts.setdefault(part, []).append(place.number)
                    wanted.discard(index)
                    if not wanted:
                        break
    for part, rows in lines.items():
        if kind == JSON:
            content = b"[" + b",".join(rows) + b"]"
        else:
            ended = [row if row.endswith((b"\n", b"\r")) else row + b"\n" for row in rows]
            content = b"".join([header if kind in (CSV, TSV) else b"", *ended])
        sinks[part].write_bytes(content)
    return parts


def _copy_tar(places: Sequence[Place], sinks: Mapping[int, Path], part_of: Callable[[Place, int], int]) -> Parts:
    (place,) = places  # a tar is one place
    wanted = set(place.rows)
    parts: Parts = {}
    copies: dict[int, tarfile.TarFile] = {}
    # What comes after a damaged stretch is left out.
    with contextlib.ExitStack() as stack, contextlib.suppress(tarfile.TarError, EOFError):
        file = stack.enter_context(files.open_read(place.unit.path))
        tar = stack.enter_context(tarfile.open(fileobj=file, mode="r:", ignore_zeros=True))
        for index, members in enumerate(_samples(tar)):
            if index not in wanted:
                continue
            part = part_of(place, index)
            if part not in copies:
                copies[part] = stack.enter_context(tarfile.open(sinks[part], "w", format=tarfile.PAX_FORMAT))
            for member in members:
                _copy_member(tar, member, copies[part])
            parts.setdefault(part, []).append(place.number)
            wanted.discard(index)
            if not wanted:
                break
    return parts


def _copy_member(tar: tarfile.TarFile, member: tarfile.TarInfo, copy: tarfile.TarFile) -> None:
    content = tar.extractfile(member)
    data = b"" if content is None else content.read()
    copied = tarfile.TarInfo(member.name)
    copied.size = len(data)
    copy.addfile(copied, io.BytesIO(data))


def _samples(tar: tarfile.TarFile) -> Iterator[list[tarfile.TarInfo]]:
    """Members by sample: consecutive ones of one key, by webdataset's rule, without repeated suffixes."""
    key, members, suffixes = None, [], set()
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        directory, slash, base = member.name.removeprefix("./").rpartition("/")
        stem, _, suffix = base.partition(".")
        name = directory + slash + stem
        if not member.isfile() or not stem:
            continue
        if name != key or suffix.lower() in suffixes:
            if members:
                yield members
            key, members, suffixes = name, [], set()
        members.append(member)
        suffixes.add(suffix.lower())
    if members:
        yield members
