"""Makes the final files from the checkpoint: one output shard at a time, in the input's order."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import checkpoint, curation, files
from beam_recap.caption_mix import CaptionMix
from beam_recap.costs import total_seconds
from beam_recap.download_counts import DownloadCounter, DownloadCounts, HostCounts
from beam_recap.inputs.units import UnitCount
from beam_recap.records import Outcome, Rejection
from beam_recap.schemas import Column, row_of, schema_of
from beam_recap.slices import Slice
from beam_recap.tally.row_tally import RowTally
from beam_recap.webdataset_rows import WebdatasetShard

_ROW_GROUP_ROWS = 10_000


class AccountingError(RuntimeError):
    """Rows of the input without an outcome, or a file that is not as it should be. It was not published."""


@dataclass(frozen=True, slots=True)
class OutputShard:
    """Consecutive units of the input, or of a slice of it, that share one file of kept and one of rejected rows."""

    number: int
    total: int
    units: tuple[UnitCount, ...]
    part: Slice | None = None

    @property
    def kept_name(self) -> str:
        return f"data/{_start('train', self.part)}{self._place}.parquet"

    @property
    def embeddings_name(self) -> str:
        return f"embeddings/{_start('train', self.part)}{self._place}.npy"

    @property
    def webdataset_name(self) -> str:
        return f"webdataset/{_start('train', self.part)}{self._place}.tar"

    @property
    def rejected_name(self) -> str:
        return f"rejected/{_start('part', self.part)}{self._place}.parquet"

    @property
    def _place(self) -> str:
        return f"{self.number:05d}-of-{self.total:05d}"


def _start(name: str, part: Slice | None) -> str:
    return f"{name}-" if part is None else f"{name}-{part.tag}-"


@dataclass(frozen=True, slots=True)
class FileStats:
    """One published file."""

    name: str
    rows: int
    file_bytes: int
    arrow_bytes: int  # 0 where there is no such form
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardStats:
    """What an output shard holds: rows read, kept, and rejected by (stage, reason), and how its downloads ended."""

    number: int
    rows: int
    kept: int
    rejected: Counter[tuple[str, str]]
    files: tuple[FileStats, ...]  # kept rows, rejected rows, and embeddings and the tar where they are written
    downloads: DownloadCounts
    seconds: Counter[str]  # of workers' threads, by stage


class AssembledShard(NamedTuple):
    """A written output shard: what it holds, its downloads by host (at most as many as rows), and its rows' numbers."""

    stats: ShardStats
    hosts: dict[str, HostCounts]
    tally: RowTally


def plan_output_shards(units: Iterable[UnitCount], rows_per_file: int, part: Slice | None = None) -> list[OutputShard]:
    """Groups units, in the input's order, into shards of at least ``rows_per_file`` input rows (the last may be less).

    The plan depends on the input alone, never on what was kept.
    """
    ordered = sorted(set(units), key=lambda unit: (unit.shard_number, unit.start))
    groups: list[list[UnitCount]] = [[]]
    filled = 0
    for unit in ordered:
        if filled >= rows_per_file:
            groups.append([])
            filled = 0
        groups[-1].append(unit)
        filled += unit.rows
    return [OutputShard(number, len(groups), tuple(group), part) for number, group in enumerate(groups)]


def assemble(
    output: str,
    shard: OutputShard,
    kept_columns: Sequence[Column],
    rejected_columns: Sequence[Column],
    *,
    curated: str | None = None,
    save_embeddings: bool = False,
    webdataset: bool = False,
    mix: CaptionMix | None = None,
) -> AssembledShard:
    """Writes a shard's files from the checkpoint of its units; each appears under its name only when it is whole.

    Args:
      output: the run's directory.
      shard: the units.
      kept_columns: of ``data/``.
      rejected_columns: of ``rejected/``.
      curated: the folder of the `curation` that applies; None: there is none.
      save_embeddings: also write the kept rows' embeddings, row by row those of ``data/``: float16 ``[rows, D]``. A row
        whose embedding has no direction is NaN. A shard without kept rows has no such file.
      webdataset: also write the kept rows' pictures, which the checkpoint then holds, as a webdataset tar; one without
        rows is empty.
      mix: which caption is a picture's text there; None: the new one.

    Raises:
      PictureError: the checkpoint lacks a picture.
      AccountingError: a row of a unit has no outcome, or a written file has not the columns or rows that it should.
    """
    rejections: Counter[tuple[str, str]] = Counter()
    seconds: Counter[str] = Counter()
    downloads = DownloadCounter()
    tally = RowTally()
    embeddings: list[bytes | None] = []
    kept = _TableWriter(shard.kept_name, kept_columns)
    rejected = _TableWriter(shard.rejected_name, rejected_columns)
    tar = WebdatasetShard(shard.webdataset_name, shard.number, mix) if webdataset else None
    with kept.open(output), rejected.open(output), contextlib.nullcontext() if tar is None else tar.file.open(output):
        for unit in shard.units:
            checkpoint.delete_unfinished(output, unit.name, with_pictures=webdataset)
            outcomes = checkpoint.read_outcomes(output, unit.name)
            if len(outcomes) != unit.rows:
                raise AccountingError(f"{unit.name} has {unit.rows} rows but {len(outcomes)} outcomes")
            found = {} if curated is None else curation.read(output, curated, unit.name)
            seconds.update(total_seconds(outcomes))
            outcomes = [curation.apply(outcome, found) for outcome in outcomes]
            tally.add(outcomes)
            with checkpoint.open_pictures(output, unit.name) as pictures:
                for outcome in outcomes:
                    downloads.add(outcome)
                    if isinstance(outcome, Rejection):
                        rejected.add(outcome)
                        rejections[str(outcome.stage), str(outcome.reason)] += 1
                        continue
                    row = kept.add(outcome)
                    if save_embeddings:
                        embeddings.append(outcome.embedding)
                    if tar is not None:
                        tar.add(outcome, row, pictures.read(outcome.picture))
    published = (kept.stats, rejected.stats)
    if save_embeddings:
        published += _write_embeddings(output, shard.embeddings_name, embeddings)
    if tar is not None:
        published += (FileStats(shard.webdataset_name, tar.file.rows, tar.file.size, 0, tar.file.sha256),)
    rows = sum(unit.rows for unit in shard.units)
    stats = ShardStats(shard.number, rows, published[0].rows, rejections, published, downloads.counts, seconds)
    return AssembledShard(stats, downloads.by_host, tally)


def _write_embeddings(output: str, name: str, embeddings: Sequence[bytes | None]) -> tuple[FileStats, ...]:
    path = files.join(output, name)
    width = max((len(embedding) for embedding in embeddings if embedding is not None), default=0) // 2
    if not width:
        files.delete([path])
        return ()
    nothing = np.full(width, np.nan, "<f2").tobytes()
    array = np.frombuffer(b"".join(one if one is not None else nothing for one in embeddings), "<f2")
    buffer = io.BytesIO()
    np.save(buffer, array.reshape(len(embeddings), width), allow_pickle=False)
    data = buffer.getvalue()
    files.write_bytes(path, data)
    return (FileStats(name, len(embeddings), len(data), array.nbytes, hashlib.sha256(data).hexdigest()),)


def delete_stale(output: str, shards: Iterable[OutputShard], part: Slice | None = None) -> None:
    """Removes final files of these rows that this run will not write, and what killed writers have left of them.

    Args:
      output: the run's directory.
      shards: what this run writes.
      part: the slice; its files alone are looked at. None: all files.
    """
    current = {files.join(output, name) for shard in shards for name in (shard.kept_name, shard.rejected_name)}
    # Embeddings and pictures are those of other rows until they are written again.
    for directory, name in (("data", "train"), ("rejected", "part"), ("embeddings", "train"), ("webdataset", "train")):
        start = _start(name, part)
        found = files.match_in(output, f"{directory}/{start}*")
        found += files.unfinished_in(files.join(output, directory), start)
        files.delete([path for path in found if path not in current])


class _TableWriter:
    """Writes outcomes as Parquet, a row group at a time, and knows the bytes' digest."""

    def __init__(self, name: str, columns: Sequence[Column]):
        self._name = name
        self._columns = tuple(columns)
        self._schema = schema_of(self._columns)
        self._pending: list[dict[str, Any]] = []
        self._rows = 0
        self._arrow_bytes = 0

    @contextlib.contextmanager
    def open(self, output: str) -> Iterator[None]:
        """Takes rows while the block runs, and publishes the file when it ends without error."""
        with files.write_whole(files.join(output, self._name), self._check) as file:
            self._sink = _DigestingFile(file)
            self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
            yield
            if self._pending:
                self._write()
            self._writer.close()

    @property
    def stats(self) -> FileStats:
        """Of the file, once it is published."""
        return FileStats(self._name, self._rows, self._sink.size, self._arrow_bytes, self._sink.digest.hexdigest())

    def add(self, outcome: Outcome) -> dict[str, Any]:
        """Takes a row; returns it by column."""
        row = row_of(self._columns, outcome)
        self._pending.append(row)
        if len(self._pending) >= _ROW_GROUP_ROWS:
            self._write()
        return row

    def _write(self) -> None:
        table = pa.Table.from_pylist(self._pending, schema=self._schema)
        self._writer.write_table(table)
        self._rows += table.num_rows
        self._pending = []

    def _check(self, temporary: str) -> None:
        """Sees in the file itself, before it has its name, that it is like every other shard's."""
        with files.open_read(temporary) as file:
            written = pq.ParquetFile(file)
            if not written.schema_arrow.equals(self._schema):
                raise AccountingError(f"{self._name} has other columns than it should: {written.schema_arrow}")
            if written.metadata.num_rows != self._rows:
                raise AccountingError(f"{self._name} holds {written.metadata.num_rows} rows, not {self._rows}")
            # As `datasets` counts them: a reader makes bitmaps of nulls where the writer's tables have none.
            self._arrow_bytes = sum(batch.nbytes for batch in written.iter_batches(_ROW_GROUP_ROWS))


class _DigestingFile:
    """Passes writes on and digests them."""

    def __init__(self, file: Any):
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        if not self._file.closed:  # a writer that is thrown away after an error still writes its footer
            self._file.write(data)
        view = memoryview(data)
        self.digest.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing to do: the file flushes when it closes."""

    def close(self) -> None:
        self.closed = True
