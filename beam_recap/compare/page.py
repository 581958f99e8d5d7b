"""``compare.html``: the comparison as one self-contained page for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beam_recap.compare.outcomes import GROUPS
from beam_recap.compare.word_diff import word_diff
from beam_recap.compare.wording import (
    difference_text,
    doubts,
    matching_sentences,
    number_text,
    percent_text,
    setting_lines,
    stage_title,
)
from beam_recap.report.template import clipped, render_page

_MOST_MATRIX_SIDES = 30  # outcomes of a run that a matrix has room for; the list below it has all
_TEXT_CHARS = 2_000
# How the matrix marks cells, beside their signs.
_TINTS = {
    "kept_in_both": "same",
    "rejected_alike": "same",
    "rejected_otherwise": "other",
    "newly_kept": "gain",
    "newly_rejected": "loss",
    "only_in_a": "other",
    "only_in_b": "other",
}
_SIGNS = {**dict.fromkeys(GROUPS, ""), "newly_kept": "+", "newly_rejected": "−", "rejected_otherwise": "≠ "}
_KINDS = {"newly_rejected": "out", "newly_kept": "in", "rejected_otherwise": "other"}


def compare_page(comparison: dict[str, Any]) -> str:
    """The page's text.

    Args:
      comparison: from `compare_runs`.
    """
    rows = comparison["rows"]
    total = sum(rows.values())
    counts = comparison["counts"]
    columns = [_column(column) for column in comparison["columns"]]
    changed = [column for column in columns if column["differing"] and not column["of_the_run"]]
    return render_page(
        "beam_recap.compare",
        "page.html",
        comparison=comparison,
        a=comparison["a"],
        b=comparison["b"],
        doubts=doubts(comparison),
        tiles=_tiles(comparison),
        total=total,
        titles=GROUPS,
        tints=_TINTS,
        signs=_SIGNS,
        groups=[
            {"kind": name, "title": title, "rows": rows[name], "percent": percent_text(rows[name], total)}
            for name, title in GROUPS.items()
        ],
        settings=setting_lines(comparison),
        matching=matching_sentences(comparison),
        matrix=_matrix(comparison["transitions"]),
        funnel=[_stage(stage) for stage in comparison["funnel"] if stage["reasons"]],
        kept={**counts["kept"], "text": difference_text(counts["kept"]["difference"])},
        read={**counts["rows"], "text": difference_text(counts["rows"]["difference"])},
        numbers=[column for column in changed if column["kind"] == "number"],
        others=[column for column in changed if column["kind"] != "number"],
        name_lists=_name_lists(comparison, columns),
        column_examples=[
            _column_examples(group, columns) for group in sorted(comparison["examples"]["columns"], key=_texts_first)
        ],
        outcome_examples=[_outcome_examples(group, comparison) for group in comparison["examples"]["outcomes"]],
    )


def _tiles(comparison: dict[str, Any]) -> list[dict[str, str]]:
    rows, kept = comparison["rows"], comparison["counts"]["kept"]
    values = [column for column in comparison["columns"] if not column["of_the_run"]]
    changed = sum(column["equal"] < column["rows"] for column in values)
    shares = [percent_text(comparison[side]["kept"], comparison[side]["rows"]) for side in ("a", "b")]
    return [
        {
            "kind": "",
            "label": "kept rows",
            "value": difference_text(kept["difference"]),
            "note": f"{kept['a']:,} ({shares[0]}) → {kept['b']:,} ({shares[1]})",
        },
        {
            "kind": "good" if rows["newly_kept"] else "",
            "label": "newly kept",
            "value": f"{'+' if rows['newly_kept'] else ''}{rows['newly_kept']:,}",
            "note": "rejected in A, kept in B",
        },
        {
            "kind": "bad" if rows["newly_rejected"] else "",
            "label": "newly rejected",
            "value": f"{'−' if rows['newly_rejected'] else ''}{rows['newly_rejected']:,}",
            "note": "kept in A, rejected in B",
        },
        {
            "kind": "",
            "label": "columns that changed",
            "value": f"{changed:,}",
            "note": f"of {len(values):,}, in {rows['kept_in_both']:,} rows kept in both",
        },
    ]


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    reasons = [{**one, "text": difference_text(one["difference"])} for one in stage["reasons"]]
    text = difference_text(stage["difference"])
    return {**stage, "title": stage_title(stage["stage"]), "text": text, "reasons": reasons}


def _name_lists(comparison: dict[str, Any], columns: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Columns of which there is no more to say than their names."""
    equal = [column["name"] for column in columns if not column["differing"]]
    of_the_run = [column["name"] for column in columns if column["differing"] and column["of_the_run"]]
    lists = [
        ("Equal in all these rows", equal),
        ("Names of models and config that changed", of_the_run),
        ("Only in A", comparison["columns_only_in_a"]),
        ("Only in B", comparison["columns_only_in_b"]),
    ]
    return [(label, names) for label, names in lists if names or label.startswith("Equal")]


def _texts_first(group: dict[str, Any]) -> bool:
    return group["kind"] != "text"


def _matrix(transitions: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Outcomes in A down, in B across; None where they are too many."""
    sides = {side: _outcomes(transitions, side) for side in ("a", "b")}
    if max(map(len, sides.values()), default=0) > _MOST_MATRIX_SIDES:
        return None
    cells = {(one["a"]["outcome"], one["b"]["outcome"]): one for one in transitions}
    return {
        "across": sides["b"],
        "lines": [
            {
                "outcome": of_a,
                "cells": [
                    {"rows": cell["rows"], "kind": cell["group"]} if cell else None
                    for cell in (cells.get((of_a, of_b)) for of_b in sides["b"])
                ],
                "rows": sum(cell["rows"] for (name, _), cell in cells.items() if name == of_a),
            }
            for of_a in sides["a"]
        ],
        "sums": [sum(cell["rows"] for (_, name), cell in cells.items() if name == of_b) for of_b in sides["b"]],
    }


def _outcomes(transitions: Sequence[dict[str, Any]], side: str) -> list[str]:
    """Kept first, then rejections by rows, absent ones last; the same order on both sides as far as they share them."""
    rows: dict[str, int] = {}
    for one in transitions:
        for of in ("a", "b"):
            rows[one[of]["outcome"]] = rows.get(one[of]["outcome"], 0) + one["rows"]
    last = {
        one[of]["outcome"]
        for one in transitions
        for of in ("a", "b")
        if one["group"] == f"only_in_{'b' if of == 'a' else 'a'}"
    }
    there = {one[side]["outcome"] for one in transitions}
    return sorted(there, key=lambda name: (name in last, name != "kept", -rows[name], name))


def _column(column: dict[str, Any]) -> dict[str, Any]:
    differing = column["rows"] - column["equal"]
    lines = [(name, number_text(column.get(name))) for name in _FIGURES.get(column["kind"], ())]
    return {
        **column,
        "differing": differing,
        "percent": percent_text(differing, column["rows"]),
        "length": round(100 * differing / column["rows"], 2) if column["rows"] else 0,
        "figures": dict(lines),
        "sign": difference_text(column.get("mean_difference")) if column["kind"] == "number" else "",
    }


_FIGURES = {
    "number": (
        "mean_a",
        "mean_b",
        "mean_absolute_difference",
        "absolute_difference_95",
        "largest_absolute_difference",
    ),
    "text": ("mean_length_a", "mean_length_b"),
}


def _outcome_examples(group: dict[str, Any], comparison: dict[str, Any]) -> dict[str, Any]:
    count = next(one["rows"] for one in comparison["transitions"] if (one["a"], one["b"]) == (group["a"], group["b"]))
    shown = [
        {
            **row,
            "caption": clipped(row["caption"], _TEXT_CHARS),
            "details": [
                {"side": side.upper(), "text": clipped(row[f"detail_{side}"], _TEXT_CHARS)}
                for side in ("a", "b")
                if row[f"detail_{side}"]
            ],
        }
        for row in group["rows"]
    ]
    return {**group, "kind": _KINDS.get(group["group"], "gone"), "count": count, "rows": shown}


def _column_examples(group: dict[str, Any], columns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    column = next(one for one in columns if one["name"] == group["name"])
    is_text = group["kind"] == "text"
    return {
        "name": group["name"],
        "is_text": is_text,
        "count": column["differing"],
        "rows": [_changed(row, is_text) for row in group["rows"]],
    }


def _changed(row: dict[str, Any], is_text: bool) -> dict[str, Any]:
    shown = {"key": row["key"], "url": row["url"], "caption": clipped(row["caption"], 300)}
    if not is_text:
        both = all(isinstance(row[side], int | float) and not isinstance(row[side], bool) for side in ("a", "b"))
        sign = difference_text(row["b"] - row["a"]) if both else ""
        return {**shown, "a": number_text(row["a"], "null"), "b": number_text(row["b"], "null"), "sign": sign}
    texts = [clipped(row[side], _TEXT_CHARS) for side in ("a", "b")]
    if None in texts:
        sides: Sequence[Any] = [None if text is None else [{"text": text, "marked": True}] for text in texts]
    else:
        sides = word_diff(*texts)  # type: ignore[arg-type]
    return {**shown, "a": sides[0], "b": sides[1]}
