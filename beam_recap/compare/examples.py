"""Rows to look at: what they are, and how they changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap.compare.column_changes import MAX_TEXT_CHARS, ColumnChanges
from beam_recap.compare.database import Database, quoted, scan
from beam_recap.compare.meanings import column_of
from beam_recap.compare.outcomes import Cell
from beam_recap.compare.run_files import Run

_SHOWN_GROUPS = ("newly_rejected", "newly_kept", "rejected_otherwise", "only_in_a", "only_in_b")
_FACTS = ("key", "url", "caption")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Places whose rows are to be read: of one run's kept or rejected rows."""

    run: Run
    kept: bool
    places: frozenset[int]


def read_examples(
    database: Database, a: Run, b: Run, cells: Sequence[Cell], columns: Sequence[ColumnChanges]
) -> dict[str, Any]:
    """The chosen rows as JSON values.

    Returns:
      ``outcomes``: for each cell of the transition table whose rows ended otherwise, its ends and some rows;
      ``columns``: for each column with changes, some rows with the values in A and B. A row has ``key``, ``url`` and
      ``caption`` (the original one), None where it has none, and the details of its rejections. Texts are cut.
    """
    cells = [cell for cell in cells if cell.group in _SHOWN_GROUPS and cell.examples]
    places: dict[tuple[str, bool], set[int]] = {}
    for cell in cells:
        for pair in cell.examples:
            for run, end, place in ((a, cell.a, pair[0]), (b, cell.b, pair[1])):
                if place is not None:
                    places.setdefault((run.side, bool(end.kept)), set()).add(place)
    for column in columns:
        places.setdefault(("A", True), set()).update(change.place for change in column.examples)
    rows = {
        (run.side, kept): _read(database, _Wanted(run, kept, frozenset(places.get((run.side, kept), ()))))
        for run in (a, b)
        for kept in (True, False)
    }
    return {
        "outcomes": [
            {
                "group": cell.group,
                "a": cell.a.as_json(),
                "b": cell.b.as_json(),
                "rows": [_row_of(cell, pair, rows) for pair in cell.examples],
            }
            for cell in sorted(cells, key=lambda cell: _SHOWN_GROUPS.index(cell.group))
        ],
        "columns": [
            {
                "name": column.pair.name,
                "kind": column.numbers["kind"],
                "rows": [
                    {**rows["A", True][change.place], "a": as_json(change.a), "b": as_json(change.b)}
                    for change in column.examples
                ],
            }
            for column in columns
            if column.examples
        ],
    }


def _row_of(
    cell: Cell, pair: tuple[int | None, int | None], rows: dict[tuple[str, bool], dict[int, dict[str, Any]]]
) -> dict[str, Any]:
    of_a = {} if pair[0] is None else rows["A", bool(cell.a.kept)][pair[0]]
    of_b = {} if pair[1] is None else rows["B", bool(cell.b.kept)][pair[1]]
    # The newer values, and where a side does not know one the other's.
    known = {name: value for row in (of_a, of_b) for name, value in row.items() if value is not None}
    facts = {name: known.get(name) for name in _FACTS}
    return {**facts, "detail_a": of_a.get("detail"), "detail_b": of_b.get("detail")}


def _read(database: Database, wanted: _Wanted) -> dict[int, dict[str, Any]]:
    if not wanted.places:
        return {}
    part = wanted.run.kept if wanted.kept else wanted.run.rejected
    columns = {f"c{number}": column_of(name, part.columns) for number, name in enumerate(_FACTS)}
    columns["c3"] = None if wanted.kept else column_of("detail", part.columns)
    texts = ", ".join(f"left({quoted(name)}::VARCHAR, {MAX_TEXT_CHARS})" for name in columns)
    sql = f"SELECT place, {texts} FROM {scan('paths', columns)} WHERE place IN (SELECT unnest($places))"  # noqa: S608
    found = database.rows(sql, {"paths": list(part.paths), "places": sorted(wanted.places)})
    names = _FACTS if wanted.kept else (*_FACTS, "detail")
    return {row[0]: dict(zip(names, row[1:], strict=False)) for row in found}


def as_json(value: Any) -> Any:
    """A value of a column for JSON, which has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
