"""Reads the rows of a unit of a Parquet file, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Set

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.inputs.columns import recognise_columns, sample_from, shard_key, unreadable_row
from beam_recap.inputs.units import Unit
from beam_recap.isolation import describe_error
from beam_recap.records import Outcome, Reason, Stage

_BATCH_ROWS = 1024
_BUFFER_BYTES = 1 << 20  # per column; without it a row group is read into memory whole
_TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view())


def read_parquet_rows(
    unit: Unit, *, url_column: str | None, caption_column: str | None, digest_column: str | None = None, done: Set[int]
) -> Iterator[Outcome]:
    """The unit's rows that are not ``done``, in order; a part that cannot be read becomes one rejection per row."""
    rows = unit.rows or 0
    reached = 0
    try:
        with files.open_read(unit.path) as file:
            parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            columns = recognise_columns(
                parquet.schema_arrow.names,
                url_column=url_column,
                caption_column=caption_column,
                digest_column=digest_column,
            )
            skip = unit.start - unit.row_group_start
            batches = parquet.iter_batches(_BATCH_ROWS, row_groups=[unit.row_group], columns=columns.names)
            for batch in batches:
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                part = batch.slice(skip, rows - reached)
                skip = 0
                for row in _with_raw_text(part).to_pylist():
                    index, source_row = reached, unit.start + reached
                    key = shard_key(unit.shard_number, source_row, unit.shard_rows)
                    sample = sample_from(row, columns, unit=unit.name, index=index, source_row=source_row, key=key)
                    reached += 1
                    if index in done:
                        continue
                    if sample.url is None:
                        yield sample.reject(Stage.READ, Reason.MISSING_URL)
                    else:
                        yield sample
                if reached >= rows:
                    return
            raise EOFError(f"the row group ends after {reached} of the unit's {rows} rows")
    except Exception as error:  # damaged pages raise many types
        detail = describe_error(error)
        for index in range(reached, rows):
            if index not in done:
                yield unreadable_row(unit, index, unit.start + index).reject(Stage.READ, Reason.CORRUPT_SHARD, detail)


def _with_raw_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text as bytes, dictionaries resolved: one value that is no UTF-8 must not cost its neighbours."""
    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.type in _TEXT_TYPES:
            column = column.cast(pa.binary())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
