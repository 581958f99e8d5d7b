"""Where rows went in either run, and whether that adds up to what the runs' summaries say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap.compare.database import Database
from beam_recap.compare.run_files import Run

KEPT = "kept"
ABSENT = "not in this run"
# The groups that every row is in exactly one of, and what each is called.
GROUPS = {
    "kept_in_both": "kept in both",
    "newly_kept": "newly kept (rejected in A)",
    "newly_rejected": "newly rejected (kept in A)",
    "rejected_alike": "rejected in both, same reason",
    "rejected_otherwise": "rejected in both, other reason",
    "only_in_a": "only in A's input",
    "only_in_b": "only in B's input",
}


@dataclass(frozen=True, slots=True)
class End:
    """How a row ended in a run: kept, rejected at a stage for a reason, or not in its input at all."""

    kept: bool | None  # None: not in this run
    stage: str | None = None
    reason: str | None = None

    @property
    def label(self) -> str:
        if self.kept is None:
            return ABSENT
        return KEPT if self.kept else f"{self.stage}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        return {"outcome": self.label, "stage": self.stage, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows that ended in one way in A and in one way in B.

    Attributes:
      a: in A.
      b: in B.
      rows: how many.
      examples: places of some in the kept or rejected files of A and of B; None where a row is not in that run.
    """

    a: End
    b: End
    rows: int
    examples: tuple[tuple[int | None, int | None], ...]

    @property
    def group(self) -> str:
        if self.a.kept is None or self.b.kept is None:
            return "only_in_b" if self.a.kept is None else "only_in_a"
        if self.a.kept or self.b.kept:
            both = self.a.kept and self.b.kept
            return "kept_in_both" if both else "newly_rejected" if self.a.kept else "newly_kept"
        return "rejected_alike" if self.a == self.b else "rejected_otherwise"


def transitions(database: Database, examples: int) -> list[Cell]:
    """The cells of the transition table that have rows, the largest first, each with up to so many examples."""
    ends = "kept_a, stage_a, reason_a, kept_b, stage_b, reason_b"
    chosen = f"arg_min({{'a': place_a, 'b': place_b}}, lot, {examples})" if examples else "NULL"
    found = database.rows(f"SELECT {ends}, count(*), {chosen} FROM matched GROUP BY {ends}")  # noqa: S608
    cells = [
        Cell(End(*row[:3]), End(*row[3:6]), row[6], tuple((one["a"], one["b"]) for one in row[7] or ()))
        for row in found
    ]
    return sorted(cells, key=lambda cell: (-cell.rows, cell.a.label, cell.b.label))


def grouped(cells: Iterable[Cell]) -> dict[str, int]:
    """Rows of each of the `GROUPS`."""
    rows = Counter({name: 0 for name in GROUPS})
    for cell in cells:
        rows[cell.group] += cell.rows
    return dict(rows)


def account(cells: Sequence[Cell], a: Run, b: Run) -> list[str]:
    """Compares the sums of the transition table with both summaries.

    Returns:
      A sentence for everything that does not add up; [] if all does.
    """
    problems = []
    for run, ends in ((a, _ends(cells, "a")), (b, _ends(cells, "b"))):
        counts = run.summary["counts"]
        told: Counter[str] = Counter({KEPT: counts["kept"]})
        for stage in counts["by_stage"]:
            for reason, rows in stage["reasons"].items():
                told[End(False, stage["stage"], reason).label] += rows
        found = Counter({end.label: rows for end, rows in ends.items()})
        totals = [
            ("rows", found.total(), counts["rows"]),
            ("rejected rows", found.total() - found[KEPT], counts["rejected"]),
        ]
        differing = [
            (label, found[label], told[label]) for label in sorted({*found, *told}) if found[label] != told[label]
        ]
        problems += [
            f"{run.side}'s files hold {there:,} {what}, its summary.json says {said:,}."
            for what, there, said in totals
            if there != said
        ]
        problems += [
            f"{run.side}'s files hold {there:,} rows with the outcome {label!r}, its summary.json says {said:,}."
            for label, there, said in differing
        ]
    return problems


def _ends(cells: Iterable[Cell], side: str) -> Counter[End]:
    rows: Counter[End] = Counter()
    for cell in cells:
        end = cell.a if side == "a" else cell.b
        if end.kept is not None:
            rows[end] += cell.rows
    return rows


def funnel(a: Run, b: Run) -> list[dict[str, Any]]:
    """Both funnels side by side as JSON values: rejected rows by stage and reason, and the kept ones."""
    stages: dict[str, dict[str, dict[str, int]]] = {}
    for run in (a, b):
        for stage in run.summary["counts"]["by_stage"]:
            stages.setdefault(stage["stage"], {})[run.side] = stage["reasons"]
    lines = []
    for stage in _in_both_orders(a, b):
        of_a, of_b = (stages[stage].get(side, {}) for side in ("A", "B"))
        reasons = [
            {"reason": reason, **_difference(of_a.get(reason, 0), of_b.get(reason, 0))}
            for reason in sorted({*of_a, *of_b}, key=lambda r: (-max(of_a.get(r, 0), of_b.get(r, 0)), r))
        ]
        lines.append({"stage": stage, **_difference(sum(of_a.values()), sum(of_b.values())), "reasons": reasons})
    return lines


def _in_both_orders(a: Run, b: Run) -> list[str]:
    """A's stages in their order, and those that only B has behind the one that B has them behind."""
    order = [stage["stage"] for stage in a.summary["counts"]["by_stage"]]
    before = None
    for stage in (stage["stage"] for stage in b.summary["counts"]["by_stage"]):
        if stage not in order:
            order.insert(0 if before is None else order.index(before) + 1, stage)
        before = stage
    return order


def _difference(a: int, b: int) -> dict[str, int]:
    return {"a": a, "b": b, "difference": b - a}


def totals(a: Run, b: Run) -> dict[str, dict[str, int]]:
    """Rows and kept rows of both, as the summaries tell them."""
    counts = (a.summary["counts"], b.summary["counts"])
    return {name: _difference(*(one[name] for one in counts)) for name in ("rows", "kept", "rejected")}
