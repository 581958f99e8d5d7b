"""Makes the final files from the checkpoint: one output shard at a time, in the input's order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import checkpoint, files
from beam_recap.download_counts import DownloadCounter, DownloadCounts, HostCounts
from beam_recap.inputs.units import UnitCount
from beam_recap.records import Outcome, Rejection, Stage
from beam_recap.schemas import Column, row_of, schema_of

_ROW_GROUP_ROWS = 10_000
_EXAMPLES = 64  # kept, and as many rejected: a page that a person looks through, and a few megabytes at most
_EXAMPLES_PER_REASON = 8


class AccountingError(RuntimeError):
    """Rows of the input without an outcome. Nothing of the output shard was published."""


@dataclass(frozen=True, slots=True)
class OutputShard:
    """Consecutive units of the input that share one file of kept and one of rejected rows."""

    number: int
    total: int
    units: tuple[UnitCount, ...]

    @property
    def kept_name(self) -> str:
        return f"data/train-{self.number:05d}-of-{self.total:05d}.parquet"

    @property
    def rejected_name(self) -> str:
        return f"rejected/part-{self.number:05d}-of-{self.total:05d}.parquet"


@dataclass(frozen=True, slots=True)
class FileStats:
    """One published file."""

    name: str
    rows: int
    file_bytes: int
    arrow_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardStats:
    """What an output shard holds: rows read, kept, and rejected by (stage, reason), and how its downloads ended.

    ``examples``, of the first shard only, are some of its first rows for the report, in the input's order: at most 64
    kept ones, each with a thumbnail, and at most 64 rejected ones, with a thumbnail where the picture was decoded.
    """

    number: int
    rows: int
    kept: int
    rejected: Counter[tuple[str, str]]
    files: tuple[FileStats, FileStats]
    downloads: DownloadCounts
    examples: tuple[Outcome, ...] = ()


def plan_output_shards(units: Iterable[UnitCount], rows_per_file: int) -> list[OutputShard]:
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
    return [OutputShard(number, len(groups), tuple(group)) for number, group in enumerate(groups)]


def assemble(
    output: str, shard: OutputShard, kept_columns: Sequence[Column], rejected_columns: Sequence[Column]
) -> tuple[ShardStats, dict[str, HostCounts]]:
    """Writes a shard's files from the checkpoint of its units; each appears under its name only when it is whole.

    Returns:
      What the shard holds, and its downloads by host: at most as many hosts as rows.

    Raises:
      AccountingError: a row of a unit has no outcome.
    """
    kept_columns, rejected_columns = tuple(kept_columns), tuple(rejected_columns)
    rejections: Counter[tuple[str, str]] = Counter()
    downloads = DownloadCounter()
    examples = _Examples()
    with (
        files.write_whole(files.join(output, shard.kept_name)) as kept_file,
        files.write_whole(files.join(output, shard.rejected_name)) as rejected_file,
    ):
        kept = _TableWriter(kept_file, schema_of(kept_columns))
        rejected = _TableWriter(rejected_file, schema_of(rejected_columns))
        for unit in shard.units:
            outcomes = checkpoint.read_outcomes(output, unit.name)
            if len(outcomes) != unit.rows:
                raise AccountingError(f"{unit.name} has {unit.rows} rows but {len(outcomes)} outcomes")
            for outcome in outcomes:
                downloads.add(outcome)
                if shard.number == 0:
                    examples.offer(outcome)
                if isinstance(outcome, Rejection):
                    rejected.add(row_of(rejected_columns, outcome))
                    rejections[str(outcome.stage), str(outcome.reason)] += 1
                else:
                    kept.add(row_of(kept_columns, outcome))
        published = (kept.close(shard.kept_name), rejected.close(shard.rejected_name))
    rows = sum(unit.rows for unit in shard.units)
    stats = ShardStats(
        shard.number, rows, published[0].rows, rejections, published, downloads.counts, examples.chosen()
    )
    return stats, downloads.by_host


def delete_stale(output: str, shards: Iterable[OutputShard]) -> None:
    """Removes final files that belong to another number of shards than this run's."""
    current = {files.join(output, name) for shard in shards for name in (shard.kept_name, shard.rejected_name)}
    found = files.match_in(output, "data/train-*") + files.match_in(output, "rejected/part-*")
    files.delete([path for path in found if path not in current])


class _Examples:
    """Picks rows for the report: the first ones, with every reason among the rejected."""

    def __init__(self) -> None:
        self._offered = 0
        self._kept: list[tuple[int, Outcome]] = []
        self._by_reason: dict[tuple[Stage, str], list[tuple[int, Outcome]]] = {}

    def offer(self, outcome: Outcome) -> None:
        self._offered += 1
        if isinstance(outcome, Rejection):
            # Only the input's first rows are marked to carry a thumbnail; it stays empty if the picture was never
            # decoded, and it is not marked yet where the row could not even be read.
            if outcome.sample.thumbnail is not None or outcome.stage == Stage.READ:
                same = self._by_reason.setdefault((outcome.stage, outcome.reason), [])
                if len(same) < _EXAMPLES_PER_REASON:
                    same.append((self._offered, outcome))
        elif outcome.thumbnail and len(self._kept) < _EXAMPLES:
            self._kept.append((self._offered, outcome))

    def chosen(self) -> tuple[Outcome, ...]:
        ranked = [(rank, place) for same in self._by_reason.values() for rank, place in enumerate(same)]
        # The first of each reason, then the second of each: no reason crowds out another.
        ranked.sort(key=lambda one: (one[0], one[1][0]))
        places = self._kept + [place for _, place in ranked[:_EXAMPLES]]
        return tuple(outcome for _, outcome in sorted(places, key=lambda place: place[0]))


class _TableWriter:
    """Writes rows as Parquet, a row group at a time, and knows the bytes' digest."""

    def __init__(self, file: Any, schema: pa.Schema):
        self._sink = _DigestingFile(file)
        self._schema = schema
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), schema, compression="zstd")
        self._pending: list[dict[str, Any]] = []
        self._rows = 0
        self._arrow_bytes = 0

    def add(self, row: dict[str, Any]) -> None:
        self._pending.append(row)
        if len(self._pending) >= _ROW_GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        table = pa.Table.from_pylist(self._pending, schema=self._schema)
        self._writer.write_table(table)
        self._rows += table.num_rows
        self._arrow_bytes += table.nbytes
        self._pending = []

    def close(self, name: str) -> FileStats:
        if self._pending:
            self._write()
        self._writer.close()
        return FileStats(name, self._rows, self._sink.size, self._arrow_bytes, self._sink.digest.hexdigest())


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
