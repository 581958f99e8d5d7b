"""Judges Arrow record batches by the prefilter, a column at a time; rows pass or fail as `Prefilter.failure` says.

Numbers are compared as arrays, so that only the rows that fail are looked at one by one, to say why. Texts are judged
one by one, equal ones of a column once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from beam_recap.inputs.columns import Columns
from beam_recap.inputs.prefilter_rows import Prefilter, judge, needed_columns
from beam_recap.prefilter import MAX_SIDE, MIN_SIDE, OF_SIDES, OPERATORS, Condition, shown

TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view())
_NEITHER = object()  # neither a number nor a text


def batch_failures(prefilter: Prefilter, batch: pa.RecordBatch, columns: Columns) -> list[str | None]:
    """For each row why it does not pass; None where it passes.

    Args:
      prefilter: the conditions.
      batch: rows with the columns that conditions need, as far as the source has them; texts as bytes.
      columns: their meaning.
    """
    failures: list[str | None] = [None] * batch.num_rows
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    left = np.arange(batch.num_rows)  # the rows that have failed nothing so far
    for condition in prefilter.conditions:
        needed = [None if name is None else arrays.get(name) for name in needed_columns(condition, columns)]
        passed = np.zeros(len(left), bool)
        if _are_numbers(condition, needed):
            passed = _compare(condition, [_as_float64(array) for array in needed])[left]
        suspects = np.flatnonzero(~passed)
        for place, failure in zip(suspects, _judge_each(condition, needed, left[suspects]), strict=True):
            failures[left[place]] = failure
            passed[place] = failure is None
        left = left[passed]
    return failures


def schema_problem(prefilter: Prefilter, schema: pa.Schema) -> str | None:
    """Which of a table's columns no value of its type can pass; None if there is none. Missing columns are none."""
    for condition in prefilter.conditions:
        if condition.is_derived or condition.name not in schema.names:
            continue
        kind = schema.types[schema.get_all_field_indices(condition.name)[-1]]
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        holds_texts = kind in TEXT_TYPES or _is_bytes(kind) or pa.types.is_null(kind)
        if condition.takes_number and not (holds_texts or _is_plain_number(kind) or pa.types.is_decimal(kind)):
            return f"the column {shown(condition.name)} is of type {shown(str(kind))}, which holds no numbers"
        if not condition.takes_number and not (holds_texts or pa.types.is_boolean(kind)):
            return f"the column {shown(condition.name)} is of type {shown(str(kind))}, which holds no texts"
    return None


def _are_numbers(condition: Condition, needed: list[pa.Array | None]) -> bool:
    is_of_columns = not condition.is_derived or condition.name in OF_SIDES
    has_numbers = all(array is not None and _is_plain_number(array.type) for array in needed)
    return condition.takes_number and is_of_columns and has_numbers


def _judge_each(condition: Condition, needed: list[pa.Array | None], rows: np.ndarray) -> list[str | None]:
    """Row by row why it fails; None where it passes."""
    values = [_values_at(array, rows, anything=condition.is_derived) for array in needed]
    if condition.is_derived or needed[0] is None or not _is_bytes(needed[0].type):
        return [judge(condition, row) for row in zip(*values, strict=True)]
    known = {value: judge(condition, (value,)) for value in set(values[0])}
    return [known[value] for value in values[0]]


def _values_at(array: pa.Array | None, rows: np.ndarray, *, anything: bool) -> list[Any]:
    """Python values. Of a type that holds neither numbers nor texts something that is neither, unless asked for."""
    if array is None:
        return [None] * len(rows)
    taken = array.take(pa.array(rows))
    kind = array.type
    is_known = _is_plain_number(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind)
    if anything or is_known or _is_bytes(kind):
        return taken.to_pylist()
    # Not every value of such types is one in Python: there are no nanoseconds.
    return [_NEITHER if present else None for present in taken.is_valid().to_pylist()]


def _compare(condition: Condition, numbers: list[np.ndarray]) -> np.ndarray:
    """Which rows pass, [N] bool; NaN never does."""
    measured = _side_measures(condition.name, *numbers) if condition.is_derived else numbers[0]
    passes: np.ndarray = OPERATORS[condition.operator](measured, condition.value)
    return passes & ~np.isnan(measured)


def _side_measures(name: str, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    short, long = np.minimum(width, height), np.maximum(width, height)
    if name == MIN_SIDE:
        return short
    if name == MAX_SIDE:
        return long
    with np.errstate(all="ignore"):
        return np.where(short > 0, long / short, np.nan)


def _is_plain_number(kind: pa.DataType) -> bool:
    # Decimals are left to Python, which rounds them exactly.
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _as_float64(array: pa.Array) -> np.ndarray:
    """[N] float64, NaN where there is no value."""
    present: Any = array.is_valid().to_numpy(zero_copy_only=False)
    numbers = array.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(present, numbers, np.nan)
