"""Reads the rows of a unit of a Parquet file, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Set

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.inputs.columns import Columns, recognise_columns, sample_from, shard_key, unreadable_row
from beam_recap.inputs.prefilter_batches import TEXT_TYPES, batch_failures
from beam_recap.inputs.prefilter_rows import Prefilter, prefiltered
from beam_recap.inputs.units import Unit
from beam_recap.isolation import describe_error
from beam_recap.records import Outcome, Reason, Stage

_BATCH_ROWS = 1024
_BUFFER_BYTES = 1 << 20  # per column; without it a row group is read into memory whole
_NO_PREFILTER = Prefilter()


def read_parquet_rows(
    unit: Unit,
    *,
    url_column: str | None,
    caption_column: str | None,
    digest_column: str | None = None,
    prefilter: Prefilter = _NO_PREFILTER,
    done: Set[int],
) -> Iterator[Outcome]:
    """The unit's rows that are not ``done``, in order; a part that cannot be read becomes one rejection per row.

    Only the columns that are needed are read. The prefilter judges a batch of rows at a time.
    """
    rows = unit.rows or 0
    reached = 0
    try:
        with files.open_read(unit.path) as file:
            parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            names = parquet.schema_arrow.names
            columns = recognise_columns(
                names,
                url_column=url_column,
                caption_column=caption_column,
                digest_column=digest_column,
            )
            needed = dict.fromkeys([*columns.names, *(name for name in prefilter.columns if name in names)])
            skip = unit.start - unit.row_group_start
            batches = parquet.iter_batches(_BATCH_ROWS, row_groups=[unit.row_group], columns=list(needed))
            for batch in batches:
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                part = batch.slice(skip, rows - reached)
                skip = 0
                end = reached + part.num_rows
                indexes = [index for index in range(reached, end) if index not in done]
                outcomes = _outcomes(part, indexes, unit, reached, columns, prefilter)
                for index, outcome in zip(indexes, outcomes, strict=True):
                    reached = index + 1
                    yield outcome
                reached = end
                if reached >= rows:
                    return
            raise EOFError(f"the row group ends after {reached} of the unit's {rows} rows")
    except Exception as error:  # damaged pages raise many types
        detail = describe_error(error)
        for index in range(reached, rows):
            if index not in done:
                yield unreadable_row(unit, index, unit.start + index).reject(Stage.READ, Reason.CORRUPT_SHARD, detail)


def _outcomes(
    part: pa.RecordBatch, indexes: list[int], unit: Unit, first: int, columns: Columns, prefilter: Prefilter
) -> Iterator[Outcome]:
    """The outcomes of some rows of a part of the unit, whose first row has the index ``first``."""
    if not indexes:
        return
    part = _with_raw_text(part)
    if len(indexes) < part.num_rows:
        part = part.take(pa.array([index - first for index in indexes]))
    failures = batch_failures(prefilter, part, columns)
    # By place, because names may repeat. What only the prefilter needs becomes no Python object here.
    wanted = set(columns.names)
    rows = part.select([place for place, name in enumerate(part.schema.names) if name in wanted]).to_pylist()
    name = unit.name
    for index, row, failure in zip(indexes, rows, failures, strict=True):
        source_row = unit.start + index
        key = shard_key(unit.shard_number, source_row, unit.shard_rows)
        sample = sample_from(row, columns, unit=name, index=index, source_row=source_row, key=key)
        if sample.url is None:
            yield sample.reject(Stage.READ, Reason.MISSING_URL)
        elif failure is not None:
            yield prefiltered(sample, failure)
        else:
            yield sample


def _with_raw_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text as bytes, dictionaries resolved: one value that is no UTF-8 must not cost its neighbours."""
    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.type in TEXT_TYPES:
            column = column.cast(pa.binary())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
