"""What changed in a column of ``data/``, over the rows that both runs kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap.compare.database import Database, is_small_integer, kind_of, scan
from beam_recap.compare.meanings import ColumnPair, pair_columns
from beam_recap.compare.run_files import Run

MAX_TEXT_CHARS = 4_000  # of a value that is shown; a caption has hundreds


@dataclass(frozen=True, slots=True)
class Change:
    """One changed value.

    Attributes:
      place: of the row in A's data files.
      a: the value in A: a number, a text, True or False, or None.
      b: in B.
    """

    place: int
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """What became of a column: its numbers, as JSON values (see `compare_columns`), and some of its changed values."""

    pair: ColumnPair
    numbers: dict[str, Any]
    examples: tuple[Change, ...]


def compare_columns(
    database: Database, a: Run, b: Run, *, tolerance: float, examples: int
) -> tuple[list[ColumnChanges], list[str], list[str]]:
    """Compares all columns that mean the same, one after the other: so memory holds one column at a time.

    Args:
      database: with the table ``matched`` of `match_rows`.
      a: the run before.
      b: the run after.
      tolerance: numbers whose difference is at most this are equal.
      examples: changed values to keep of each column.

    Returns:
      The columns, and the names of those that only A and only B have. A column's ``rows`` are ``equal`` + ``changed`` +
      ``null_to_value`` + ``value_to_null``. Means and differences (B - A) are of finite numbers; they are None where
      there are none. ``not_finite`` are rows with two numbers of which one is NaN or infinite. NaN equals NaN. Lengths
      are characters.
    """
    pairs, only_a, only_b = pair_columns(a.kept.columns, b.kept.columns)
    types_a, types_b = database.types(a.kept), database.types(b.kept)
    database.rows("CREATE TABLE pairs AS SELECT lot, place_a, place_b FROM matched WHERE kept_a AND kept_b")
    changes = [
        _compare(database, a, b, pair, (types_a[pair.a], types_b[pair.b]), tolerance, examples) for pair in pairs
    ]
    return changes, only_a, only_b


def _compare(
    database: Database, a: Run, b: Run, pair: ColumnPair, types: Sequence[str], tolerance: float, examples: int
) -> ColumnChanges:
    kinds = [kind_of(name) for name in types]
    kind = kinds[0] if kinds[0] == kinds[1] else "text"
    alike = kinds[0] == kinds[1] and (kind != "other" or types[0] == types[1])
    shown = "{0}" if kind in ("number", "boolean") and alike else f"left({{0}}::VARCHAR, {MAX_TEXT_CHARS})"
    values = ("x", "y") if alike else ("x::VARCHAR", "y::VARCHAR")
    same = f"{values[0]} IS NOT DISTINCT FROM {values[1]}"
    if kind == "number" and tolerance > 0:
        same = f"({same} OR coalesce(abs(delta) <= $tolerance, false))"
    places = f"{{'place': place, 'a': {shown.format('x')}, 'b': {shown.format('y')}}}"
    chosen = f"arg_min({places}, lot, {examples}) FILTER (NOT same)" if examples and not pair.is_of_the_run else "[]"
    measures = {"number": _NUMBER, "text": _TEXT}.get(kind if alike else "", "")
    sql = f"""
        WITH joined AS (
          SELECT lot, a.place AS place, a.v AS x, b.v AS y
          FROM pairs JOIN {scan("a", {"v": pair.a})} AS a ON a.place = place_a
          JOIN {scan("b", {"v": pair.b})} AS b ON b.place = place_b
        ),
        measured AS (SELECT *, {_delta(types) if kind == "number" else "NULL::DOUBLE"} AS delta FROM joined),
        judged AS (SELECT *, {same} AS same FROM measured)
        SELECT count(*), count(*) FILTER (same), count(*) FILTER (NOT same AND x IS NOT NULL AND y IS NOT NULL),
          count(*) FILTER (x IS NULL AND y IS NOT NULL), count(*) FILTER (y IS NULL AND x IS NOT NULL),
          {chosen}{measures}
        FROM judged"""  # noqa: S608
    parameters: dict[str, Any] = {"a": list(a.kept.paths), "b": list(b.kept.paths)}
    if "$tolerance" in sql:
        parameters["tolerance"] = tolerance
    rows, equal, changed, appeared, vanished, found, *measured = database.rows(sql, parameters)[0]
    numbers = {
        "name": pair.name,
        "column_a": pair.a,
        "column_b": pair.b,
        "kind": kind if alike else "other",
        "type_a": types[0],
        "type_b": types[1],
        "of_the_run": pair.is_of_the_run,
        "rows": rows,
        "equal": equal,
        "changed": changed,
        "null_to_value": appeared,
        "value_to_null": vanished,
        "changed_share": None if not rows else (rows - equal) / rows,
        **dict(
            zip(
                {"number": _NUMBER_NAMES, "text": _TEXT_NAMES}.get(kind if alike else "", ()),
                map(_finite, measured),
                strict=True,
            )
        ),
    }
    return ColumnChanges(pair, numbers, tuple(Change(one["place"], one["a"], one["b"]) for one in found or ()))


def _delta(types: Sequence[str]) -> str:
    if all(map(is_small_integer, types)):
        return "(y::HUGEINT - x::HUGEINT)::DOUBLE"
    return "CASE WHEN isfinite(x::DOUBLE) AND isfinite(y::DOUBLE) THEN y::DOUBLE - x::DOUBLE END"


_NUMBER_NAMES = (
    "mean_a",
    "mean_b",
    "mean_difference",
    "mean_absolute_difference",
    "absolute_difference_95",
    "largest_absolute_difference",
    "not_finite",
)
_NUMBER = """,
    avg(x::DOUBLE) FILTER (isfinite(x::DOUBLE)), avg(y::DOUBLE) FILTER (isfinite(y::DOUBLE)),
    avg(delta) FILTER (isfinite(delta)), avg(abs(delta)) FILTER (isfinite(delta)),
    quantile_cont(abs(delta), 0.95) FILTER (isfinite(delta)), max(abs(delta)) FILTER (isfinite(delta)),
    count(*) FILTER (x IS NOT NULL AND y IS NOT NULL AND NOT coalesce(isfinite(delta), false))"""
_TEXT_NAMES = ("mean_length_a", "mean_length_b")
_TEXT = ", avg(length(x)), avg(length(y))"


def _finite(value: Any) -> Any:
    """A number that JSON can hold: a mean of huge numbers may be infinite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
