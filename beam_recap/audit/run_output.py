"""The output of a run as the audit's input: what was spotted then is read, and nothing is fetched again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.audit.observation import NO_OCR, Observation, judge_row
from beam_recap.inputs.columns import as_integer, as_text, listed, pair_digest
from beam_recap.isolation import describe_error
from beam_recap.run_directory import DIRECTORY as CHECKPOINT

KEPT, ALL = "kept", "all"  # which rows of a run count
_CAPTIONS = ("org_caption", "TEXT", "text", "caption")
_NEEDED = ("ocr_has_text", "ocr_text")
_OPTIONAL = ("ocr_complete", "kmeans", "uid", "url", "URL", "key", "stage", "reason")
_BATCH_ROWS = 1000
_MAX_SUMMARY_BYTES = 64 * 2**20
_REMEDY = "make the dataset with --ocr=rapidocr --max_ocr_boxes=none --extra_columns=true, or give its pictures"


class RunOutputError(ValueError):
    """A run's output that cannot be audited; the message ends a sentence."""


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run. ``number`` is its position among the input's files."""

    path: str
    number: int
    caption_column: str


@dataclass(frozen=True, slots=True)
class RunOutput:
    """A run's files, and what its ``summary.json`` says of the models that judged the rows."""

    directory: str
    files: tuple[RunFile, ...]
    ocr_engine: str | None
    clusters: bool


def is_run_output(pattern: str) -> bool:
    """Whether this is the directory of a run, finished or not, and not a folder of shards."""
    if not files.match_in(pattern, "data/train-*.parquet") and not files.exists(files.join(pattern, CHECKPOINT)):
        return False
    return any(files.exists(files.join(pattern, name)) for name in ("summary.json", CHECKPOINT))


def find_run(directory: str, *, rows: str = KEPT, caption_column: str | None = None) -> RunOutput:
    """Looks at a run's files: footers only.

    Args:
      directory: the run's output, local or ``gs://``.
      rows: ``kept``, or ``all``: the rejected ones too.
      caption_column: of the captions; None: the original ones, by their known names. Rejected rows have only
        ``caption``.

    Raises:
      RunOutputError: the run is not finished, or its files lack what is needed.
    """
    if not files.exists(files.join(directory, "summary.json")):
        raise RunOutputError("is of a run that has not ended: there is no summary.json; let it end first")
    summary = _read_summary(files.join(directory, "summary.json"))
    kept = files.match_in(directory, "data/train-*.parquet")
    rejected = files.match_in(directory, "rejected/part-*.parquet") if rows == ALL else []
    found: list[RunFile] = []
    judged, known = False, False
    for path in [*kept, *rejected]:
        try:
            with files.open_read(path) as file:
                parquet = pq.ParquetFile(file)
                names, metadata = parquet.schema_arrow.names, parquet.metadata
        except Exception as error:  # pyarrow's and a file system's own
            raise RunOutputError(
                f"holds {path}, which cannot be read ({describe_error(error)}); give a whole run"
            ) from error
        for name in _NEEDED:
            if name not in names:
                raise RunOutputError(f"has no column {name} in {path}, so its pictures were not judged; {_REMEDY}")
        wanted = (caption_column,) if caption_column is not None and path in kept else _CAPTIONS
        column = next((name for name in wanted if name in names), None)
        if column is None:
            raise RunOutputError(
                f"has no column {' or '.join(wanted)} in {path}, so there are no captions; give the name of one with "
                f"--caption_column, of {listed(names)}"
            )
        judged = judged or not _is_all_null(metadata, names.index("ocr_has_text"))
        known = known or ("kmeans" in names and not _is_all_null(metadata, names.index("kmeans")))
        found.append(RunFile(path, len(found), column))
    if not judged and any(_rows_of(file.path) for file in found):
        raise RunOutputError(f"holds no row whose picture was judged: ocr_has_text is null everywhere; {_REMEDY}")
    engine = (summary.get("models") or {}).get("ocr_engine")
    return RunOutput(directory, tuple(found), str(engine)[:200] if engine else None, known)


def read_observations(file: RunFile, fuzzy_threshold: float) -> Iterator[Observation]:
    """The rows of a file; one that breaks off gives its other rows as not judged."""
    reached = rows = 0
    try:
        with files.open_read(file.path) as opened:
            parquet = pq.ParquetFile(opened)
            rows = parquet.metadata.num_rows
            names = parquet.schema_arrow.names
            wanted = [name for name in (file.caption_column, *_NEEDED, *_OPTIONAL) if name in names]
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                for row in _with_raw_text(batch).to_pylist():
                    observation = _observe(row, file, reached, fuzzy_threshold)
                    reached += 1
                    yield observation
    except Exception as error:  # damaged pages raise many types
        for index in range(reached, max(rows, 1)):
            problem = f"read: {type(error).__name__}"
            yield Observation(f"{file.number}/{index}", None, problem=problem)


def _observe(row: dict[str, Any], file: RunFile, index: int, fuzzy_threshold: float) -> Observation:
    caption = as_text(row.get(file.caption_column))
    address = as_text(row.get("url")) or as_text(row.get("URL")) or as_text(row.get("key"))
    row_id = as_text(row.get("uid")) or pair_digest(address or f"{file.number}/{index}", caption)
    cluster = as_integer(row.get("kmeans"))
    if row["ocr_has_text"] is None:
        stage, reason = as_text(row.get("stage")), as_text(row.get("reason"))
        problem = f"{stage}: {reason}" if stage and reason else NO_OCR
        return Observation(row_id, caption, cluster, problem=problem)
    return judge_row(
        row_id,
        caption,
        cluster,
        has_text=bool(row["ocr_has_text"]),
        ocr_text=as_text(row["ocr_text"]),
        complete=row.get("ocr_complete") is not False,
        fuzzy_threshold=fuzzy_threshold,
    )


def _with_raw_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text as bytes: one value that is no UTF-8 must not cost its neighbours."""
    columns = [column.cast(pa.binary()) if pa.types.is_string(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _is_all_null(metadata: pq.FileMetaData, column: int) -> bool:
    """Whether a column's statistics say that it holds nothing; without statistics it may hold something."""
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(column).statistics
        rows = metadata.row_group(group).num_rows
        if statistics is None or not statistics.has_null_count or statistics.null_count < rows:
            return False
    return True


def _rows_of(path: str) -> int:
    with files.open_read(path) as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


def _read_summary(path: str) -> dict[str, Any]:
    try:
        with files.open_read(path) as file:
            loaded = json.loads(file.read(_MAX_SUMMARY_BYTES))
    except Exception as error:  # damaged, or a file system's own
        raise RunOutputError(
            f"has a summary.json that cannot be read ({describe_error(error)}); give a whole run"
        ) from error
    models = loaded.get("models") if isinstance(loaded, dict) else None
    return {"models": models if isinstance(models, dict) else {}}
