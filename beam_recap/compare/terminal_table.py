"""The comparison as tables on the terminal; plain text where that is none."""

from __future__ import annotations

import io
import sys
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from beam_recap.compare.outcomes import GROUPS
from beam_recap.compare.wording import (
    difference_text,
    doubts,
    matching_sentences,
    number_text,
    percent_text,
    setting_lines,
    stage_title,
)
from beam_recap.report.template import clipped, printable

_PIPED_WIDTH = 120
_CELL_CHARS = 60
_MOST_TRANSITIONS = 20


def print_tables(comparison: dict[str, Any], file: TextIO | None = None) -> None:
    """Prints the comparison.

    Args:
      comparison: from `compare_runs`.
      file: None: standard output.
    """
    file = file or sys.stdout
    if hasattr(file, "reconfigure"):
        file.reconfigure(errors="replace")  # what knows only ASCII
    if file.isatty():
        _print(comparison, Console(file=file, highlight=False, markup=False, emoji=False))
        return
    plain = io.StringIO()
    _print(comparison, Console(file=plain, width=_PIPED_WIDTH, highlight=False, markup=False, emoji=False))
    file.write("".join(f"{line.rstrip()}\n" for line in plain.getvalue().splitlines()))


def _print(comparison: dict[str, Any], console: Console) -> None:
    a, b = comparison["a"], comparison["b"]
    console.print(_text(f"A  {a['directory']}  ({a['rows']:,} rows, {a['kept']:,} kept)"), soft_wrap=True)
    console.print(_text(f"B  {b['directory']}  ({b['rows']:,} rows, {b['kept']:,} kept)"), soft_wrap=True)
    for sentence in doubts(comparison):
        console.print(_text(f"! {sentence}", "bold yellow"))
    for table in (_settings(comparison), _funnel(comparison), _groups(comparison), _moves(comparison)):
        if table is not None:
            console.print(table)
    for table in _columns(comparison):
        console.print(table)
    for side in ("a", "b"):
        if names := comparison[f"columns_only_in_{side}"]:
            console.print(_text(f"Columns only in {side.upper()}: {', '.join(names)}"))
    console.print(_text(" ".join(matching_sentences(comparison)), "dim"))
    if not comparison["differ"]:
        console.print(_text("No row, no value and no column differs."))


def _text(value: str, style: str = "") -> Text:
    """Text of strangers: nothing in it is a command to the terminal, or markup."""
    return Text(printable(value), style=style)


def _cell(value: str, style: str = "") -> Text:
    return _text(clipped(" ".join(value.split()), _CELL_CHARS) or "", style)


def _table(title: str, *columns: str, texts: int = 1) -> Table:
    """Columns of numbers after those of texts."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.min_width = len(title)  # it is not broken over a narrow table
    for number, name in enumerate(columns):
        is_text = number < texts
        table.add_column(name, justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text)
    return table


def _settings(comparison: dict[str, Any]) -> Table | None:
    lines = setting_lines(comparison)
    if not lines:
        return None
    table = _table("What was set otherwise", "", "A", "B", texts=3)
    for line in lines:
        table.add_row(*(_cell(line[name]) for name in ("name", "a", "b")))
    return table


def _funnel(comparison: dict[str, Any]) -> Table:
    table = _table("Rejected rows by stage and reason", "", "A", "B", "B − A")
    for stage in comparison["funnel"]:
        if stage["reasons"]:
            table.add_row(*_counts(stage_title(stage["stage"]), stage, "bold"))
            for reason in stage["reasons"]:
                table.add_row(*_counts(f"  {reason['reason']}", reason))
    table.add_section()
    for name in ("rows", "kept"):
        table.add_row(*_counts({"rows": "all rows", "kept": "kept"}[name], comparison["counts"][name], "bold"))
    return table


def _counts(name: str, counts: dict[str, Any], style: str = "") -> list[Text]:
    indent = name[: len(name) - len(name.lstrip())]
    values = (f"{counts['a']:,}", f"{counts['b']:,}", difference_text(counts["difference"]))
    return [Text(indent, style) + _cell(name, style), *(_text(value, style) for value in values)]


def _groups(comparison: dict[str, Any]) -> Table:
    rows = comparison["rows"]
    total = sum(rows.values())
    table = _table("Every row of A or B", "", "rows", "share")
    for name, title in GROUPS.items():
        table.add_row(_text(title), _text(f"{rows[name]:,}"), _text(percent_text(rows[name], total)))
    return table


def _moves(comparison: dict[str, Any]) -> Table | None:
    moved = [one for one in comparison["transitions"] if one["group"] not in ("kept_in_both", "rejected_alike")]
    if not moved:
        return None
    table = _table("Rows that ended otherwise", "in A", "in B", "rows", texts=2)
    for one in moved[:_MOST_TRANSITIONS]:
        table.add_row(_cell(one["a"]["outcome"]), _cell(one["b"]["outcome"]), _text(f"{one['rows']:,}"))
    left = moved[_MOST_TRANSITIONS:]
    if left:
        table.add_row(_text(f"{len(left):,} more pairs"), _text(""), _text(f"{sum(one['rows'] for one in left):,}"))
    return table


def _columns(comparison: dict[str, Any]) -> list[Table]:
    columns = comparison["columns"]
    kept = comparison["rows"]["kept_in_both"]
    if not kept:
        return []
    changed = [column for column in columns if column["equal"] < column["rows"]]
    tables = []
    numbers = [column for column in changed if column["kind"] == "number"]
    if numbers:
        names = ("changed", "null→value", "value→null", "mean A", "mean B", "mean |Δ|", "95 % |Δ|", "max |Δ|")
        table = _table(f"Numbers that changed, in {kept:,} rows kept in both", "", *names)
        for column in numbers:
            keys = (
                "mean_a",
                "mean_b",
                "mean_absolute_difference",
                "absolute_difference_95",
                "largest_absolute_difference",
            )
            table.add_row(*_column(column), *(_text(number_text(column[key])) for key in keys))
        tables.append(table)
    others = [column for column in changed if column["kind"] != "number"]
    if others:
        names = ("changed", "null→value", "value→null", "share", "mean length A", "mean length B")
        table = _table(f"Other columns that changed, in {kept:,} rows kept in both", "", *names)
        for column in others:
            lengths = (number_text(column.get(key)) for key in ("mean_length_a", "mean_length_b"))
            share = percent_text(column["rows"] - column["equal"], column["rows"])
            table.add_row(*_column(column), _text(share), *map(_text, lengths))
        tables.append(table)
    if equal := [column["name"] for column in columns if column not in changed]:
        table = _table("Columns that are equal in all these rows", "")
        table.show_header = False
        table.add_row(_text(", ".join(equal)))
        tables.append(table)
    return tables


def _column(column: dict[str, Any]) -> list[Text]:
    return [
        _cell(column["name"]),
        *(_text(f"{column[name]:,}") for name in ("changed", "null_to_value", "value_to_null")),
    ]
