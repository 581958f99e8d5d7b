"""The checkpoint: outcomes, appended as they come to small immutable files of their unit.

``OUTPUT/_checkpoint/outcomes/<unit id>/<attempt>-*.parquet`` hold text and numbers only (pictures that are kept are
beside them, see `checkpoint_pictures`); whose they are says `run_directory`. A retried bundle may write an outcome
twice, so readers keep one per place: of the latest attempt, a kept row before a rejected one, then the one whose reason
and content sort first.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import typing
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import checkpoint_pictures, files
from beam_recap.checkpoint_pictures import PictureReader
from beam_recap.inputs.units import unit_id
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage, member_or_text
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
    by_unit: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        sample = outcome.sample if isinstance(outcome, Rejection) else outcome
        by_unit.setdefault(sample.unit, []).append(outcome)
    paths = []
    for unit, of_unit in by_unit.items():
        directory, stem = _unit_directory(output, unit), f"{attempt:06d}-{uuid.uuid4().hex}"
        path = files.join(directory, f"{stem}.parquet")
        # Pictures first: whatever names one finds it.
        files.write_bytes(path, pack(checkpoint_pictures.store(directory, stem, of_unit)))
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


def done_before(output: str, attempt: int, retry: str) -> Iterator[int]:
    """How many rows needed no work when an attempt began, unit by unit; of a checkpoint on a local disk.

    Args:
      output: the run's directory.
      attempt: its number; what it writes meanwhile does not count.
      retry: as in `done_indexes`.
    """
    outcomes = files.join(output, DIRECTORY, "outcomes")
    for unit in sorted(os.listdir(outcomes)) if os.path.isdir(outcomes) else ():
        rows = _read_directory(files.join(outcomes, unit), ["index", "reason"], before=attempt)
        yield sum(not _reopens(row, retry) for row in rows.values())


def read_outcomes(output: str, unit: str) -> list[Outcome]:
    """The unit's outcomes, one per place, in order."""
    rows = _read_unit(output, unit, None)
    return [_outcome_of(rows[index]) for index in sorted(rows)]


def delete_unfinished(output: str, unit: str, *, with_pictures: bool = False) -> None:
    """Deletes what writers that were killed have left of a unit. For when no writer is at work there.

    Args:
      output: the run's directory.
      unit: the unit's name.
      with_pictures: also look for pictures without outcomes.
    """
    directory = _unit_directory(output, unit)
    files.delete(files.unfinished_in(directory))
    if with_pictures:
        checkpoint_pictures.delete_orphans(directory)


def open_pictures(output: str, unit: str) -> PictureReader:
    """The pictures of a unit's kept rows, to be read one at a time."""
    return PictureReader(_unit_directory(output, unit))


def _read_unit(output: str, unit: str, columns: list[str] | None) -> dict[int, dict[str, Any]]:
    return _read_directory(_unit_directory(output, unit), columns)


def _read_directory(
    directory: str, columns: list[str] | None, *, before: int | None = None
) -> dict[int, dict[str, Any]]:
    best: dict[int, tuple[tuple[int, str], dict[str, Any]]] = {}
    for path in files.match_in(directory, "*.parquet"):
        attempt = int(path.rsplit("/", 1)[-1].split("-")[0])
        if before is not None and attempt >= before:
            continue
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
    content = {name: value for name, value in row.items() if name != "picture"}  # where it is, by chance
    return json.dumps(content, sort_keys=True, default=repr)


def _reopens(row: dict[str, Any], retry: str) -> bool:
    if row["reason"] is None or retry == "none":
        return False
    reason = member_or_text(Reason, row["reason"])
    return retry == "all" or (isinstance(reason, Reason) and reason.is_transient)


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
    stage, reason = member_or_text(Stage, row["stage"]), member_or_text(Reason, row["reason"])
    return Rejection(sample=sample, stage=stage, reason=reason, detail=row["detail"])


def _unit_directory(output: str, unit: str) -> str:
    return files.join(output, DIRECTORY, "outcomes", unit_id(unit))
