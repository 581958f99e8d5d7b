"""The checkpoint: outcomes, appended as they come to small immutable files of their unit.

``OUTPUT/_checkpoint/outcomes/<unit id>/<attempt>-*.parquet`` hold text and numbers only; whose they are says
`run_directory`. A retried bundle may write an outcome twice, so readers keep one per place: of the latest
attempt, a kept row before a rejected one, then the one whose reason and content sort first.
"""

from __future__ import annotations

import dataclasses
import io
import json
import typing
import uuid
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.inputs.units import unit_id
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from beam_recap.run_directory import DIRECTORY

# Pixels and embeddings in full precision stay in memory; everything else of a Sample is written.
_ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    tuple[str, ...]: pa.list_(pa.string()),
    tuple[float | None, ...]: pa.list_(pa.float64()),
}
_NOT_WRITTEN = ("image", "image_bytes", "image_embedding")


def _fields() -> dict[str, pa.DataType]:
    hints = typing.get_type_hints(Sample)
    fields = {}
    for field in dataclasses.fields(Sample):
        if field.name not in _NOT_WRITTEN:
            kinds = [
                kind for kind in (typing.get_args(hints[field.name]) or (hints[field.name],)) if kind in _ARROW_TYPES
            ]
            fields[field.name] = _ARROW_TYPES[kinds[0]]
    return fields


_SAMPLE_FIELDS = _fields()
_SCHEMA = pa.schema([*_SAMPLE_FIELDS.items(), ("stage", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


def write_outcomes(output: str, attempt: int, outcomes: Iterable[Outcome]) -> list[str]:
    """Writes outcomes, one new file per unit, and returns the files' paths."""
    by_unit: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        row = _row_of(outcome)
        by_unit.setdefault(row["unit"], []).append(row)
    paths = []
    for unit, rows in by_unit.items():
        path = files.join(_unit_directory(output, unit), f"{attempt:06d}-{uuid.uuid4().hex}.parquet")
        files.write_bytes(path, _to_parquet(rows))
        paths.append(path)
    return paths


def pack(outcomes: Iterable[Outcome]) -> bytes:
    """Outcomes as the bytes of a Parquet file, in their order."""
    return _to_parquet([_row_of(outcome) for outcome in outcomes])


def unpack(data: bytes) -> list[Outcome]:
    """What was given to `pack`."""
    return [_outcome_of(row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def _to_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def done_indexes(output: str, unit: str, retry: str) -> set[int]:
    """Indexes of the unit's rows that need no work.

    Args:
      output: the run's directory.
      unit: the unit's name.
      retry: ``none``; ``transient`` re-opens rejections that may pass now; ``all`` re-opens every rejection.
    """
    return {
        index
        for index, outcome in _read_unit(output, unit, ["index", "reason"]).items()
        if not _reopens(outcome, retry)
    }


def read_outcomes(output: str, unit: str) -> list[Outcome]:
    """The unit's outcomes, one per place, in order."""
    rows = _read_unit(output, unit, None)
    return [_outcome_of(rows[index]) for index in sorted(rows)]


def delete_unfinished(output: str, unit: str) -> None:
    """Deletes what writers that were killed have left of a unit. For when no writer is at work there."""
    files.delete(files.unfinished_in(_unit_directory(output, unit)))


def _read_unit(output: str, unit: str, columns: list[str] | None) -> dict[int, dict[str, Any]]:
    best: dict[int, tuple[tuple[int, str], dict[str, Any]]] = {}
    for path in files.match_in(_unit_directory(output, unit), "*.parquet"):
        attempt = int(path.rsplit("/", 1)[-1].split("-")[0])
        for row in pq.read_table(io.BytesIO(files.read_bytes(path)), columns=columns).to_pylist():
            # The latest attempt decides; within it a kept row (whose reason is ""), then the reason, then content, so
            # that readers always agree, whichever columns they read.
            rank, index = (-attempt, row["reason"] or ""), row["index"]
            if index in best:
                best_rank, best_row = best[index]
                if rank > best_rank or (rank == best_rank and _content(row) >= _content(best_row)):
                    continue
            best[index] = (rank, row)
    return {index: row for index, (_, row) in best.items()}


def _content(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=repr)


def _reopens(row: dict[str, Any], retry: str) -> bool:
    if row["reason"] is None or retry == "none":
        return False
    return retry == "all" or Reason(row["reason"]).is_transient


def _row_of(outcome: Outcome) -> dict[str, Any]:
    sample = outcome.sample if isinstance(outcome, Rejection) else outcome
    row = {name: getattr(sample, name) for name in _SAMPLE_FIELDS}
    if isinstance(outcome, Rejection):
        row.update(stage=str(outcome.stage), reason=str(outcome.reason), detail=outcome.detail)
    return row


def _outcome_of(row: dict[str, Any]) -> Outcome:
    values = {name: row[name] for name in _SAMPLE_FIELDS}
    # Parquet gives lists.
    sample = Sample(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    if row["reason"] is None:
        return sample
    return Rejection(sample=sample, stage=Stage(row["stage"]), reason=Reason(row["reason"]), detail=row["detail"])


def _unit_directory(output: str, unit: str) -> str:
    return files.join(output, DIRECTORY, "outcomes", unit_id(unit))
