"""Rows and runs for the tests of the audit."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap.audit.observation import Observation, judge_row
from beam_recap.audit.tally import Tally, bucket_of

TABLE_16 = list(csv.DictReader((Path(__file__).parent / "parrot_rows.csv").open(encoding="utf-8")))


def judged(
    number: int, caption: str | None, text: str | None, *, complete: bool = True, cluster: int | None = None
) -> Observation:
    """A judged row; no text at all (None) is not unreadable text ("")."""
    return judge_row(
        f"row {number}",
        caption,
        cluster,
        has_text=text is not None,
        ocr_text=text,
        complete=complete,
        fuzzy_threshold=0.8,
    )


def tally_of(rows: Iterable[Observation], buckets: int = 1000, seed: int = 0) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row, bucket_of(row.row_id, seed, buckets))
    return tally


def write_run(
    folder: Path,
    kept: Sequence[dict[str, Any]],
    rejected: Sequence[dict[str, Any]] = (),
    *,
    files: int = 1,
    summary: str = '{"models": {"ocr_engine": "rapidocr-3/x"}}',
) -> Path:
    """The final files of a run, with as many columns as the rows have."""
    for name, rows in (("data/train", kept), ("rejected/part", rejected)):
        for number in range(files):
            part = list(rows[number::files])
            path = folder / f"{name}-{number:05d}-of-{files:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            types = {"ocr_has_text": pa.bool_(), "ocr_complete": pa.bool_(), "kmeans": pa.int64()}
            names = list(dict.fromkeys(name for row in rows for name in row))
            schema = pa.schema([(column, types.get(column, pa.string())) for column in names])
            pq.write_table(pa.Table.from_pylist(part, schema=schema), path)
    (folder / "summary.json").write_text(summary)
    return folder
