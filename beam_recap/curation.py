"""What only the whole dataset tells of a row: its cluster's label, and whether it goes because of another row.

It is not part of the checkpoint, which outlives changes of these rules: each attempt works it out anew from there, and
leaves one small file per unit for the final files to be made from, ``_checkpoint/curation/FOLDER/UNIT.parquet``.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.duplicates.rows import Decision
from beam_recap.inputs.units import unit_id
from beam_recap.records import Outcome, Reason, Sample, Stage
from beam_recap.run_directory import DIRECTORY
from beam_recap.slices import Slice

_FOLDER = "curation"
_SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("is_labelled", pa.bool_()),
        ("cluster", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Curated:
    """What was worked out for a row that had been kept so far."""

    is_labelled: bool = False  # by a cluster model; else it keeps the label that its source gave it
    cluster: int | None = None
    reason: Reason | None = None  # None: it stays
    detail: str = ""


def folder_of(attempt: int, part: Slice | None = None) -> str:
    """The name of an attempt's folder."""
    return f"{attempt:06d}" if part is None else f"{part.tag}-{attempt:06d}"


def write(
    output: str, folder: str, unit: str, clusters: Mapping[int, int | None], decisions: Iterable[Decision]
) -> str:
    """Writes what was worked out for a unit's rows, and returns the file's path.

    Args:
      output: the run's directory.
      folder: the attempt's (`folder_of`).
      unit: the unit's name.
      clusters: labels by the rows' indexes.
      decisions: on rows that go, at most one each.
    """
    rows = {index: {"index": index, "is_labelled": True, "cluster": cluster} for index, cluster in clusters.items()}
    for decision in decisions:
        row = rows.setdefault(decision.place.index, {"index": decision.place.index, "is_labelled": False})
        row.update(reason=str(decision.reason), detail=decision.detail)
    buffer = io.BytesIO()
    table = pa.Table.from_pylist([rows[index] for index in sorted(rows)], schema=_SCHEMA)
    pq.write_table(table, buffer, compression="zstd")
    path = _path(output, folder, unit)
    files.write_bytes(path, buffer.getvalue())
    return path


def read(output: str, folder: str, unit: str) -> dict[int, Curated]:
    """By the rows' indexes; a row that is not there stays as it is."""
    path = _path(output, folder, unit)
    if not files.exists(path):
        return {}
    rows = pq.read_table(io.BytesIO(files.read_bytes(path))).to_pylist()
    return {
        row["index"]: Curated(
            row["is_labelled"], row["cluster"], Reason(row["reason"]) if row["reason"] else None, row["detail"] or ""
        )
        for row in rows
    }


def apply(outcome: Outcome, curated: Mapping[int, Curated]) -> Outcome:
    """A kept row with its label, or its rejection; an outcome that was a rejection already stays one."""
    if not isinstance(outcome, Sample) or (found := curated.get(outcome.index)) is None:
        return outcome
    labelled = dataclasses.replace(outcome, cluster=found.cluster) if found.is_labelled else outcome
    return labelled if found.reason is None else labelled.reject(Stage.CURATE, found.reason, found.detail)


def delete_others(output: str, folder: str, part: Slice | None = None) -> None:
    """Deletes what other attempts worked out, of the same slice; without one, all of it."""
    start = files.join(output, DIRECTORY, _FOLDER)
    names = [name for name in files.folders_in(start) if part is None or name.startswith(f"{part.tag}-")]
    files.delete([files.join(start, name) + "/" for name in names if name != folder])


def _path(output: str, folder: str, unit: str) -> str:
    return files.join(output, DIRECTORY, _FOLDER, folder, f"{unit_id(unit)}.parquet")
