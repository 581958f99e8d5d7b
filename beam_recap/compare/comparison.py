"""The whole comparison of two runs, as JSON values."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beam_recap import __version__, ending
from beam_recap.compare.column_changes import compare_columns
from beam_recap.compare.database import Database
from beam_recap.compare.examples import read_examples
from beam_recap.compare.matching import choose_identity, match_rows
from beam_recap.compare.outcomes import account, funnel, grouped, totals, transitions
from beam_recap.compare.run_files import Run, read_summary, stage_run
from beam_recap.compare.settings import CompareError, CompareSettings

_LOG = logging.getLogger("beam_recap.compare")
_TOLD_ROWS = 1_000_000  # of a comparison that takes long enough to say what it is at
_NOT_THERE = "not known"
_OF_EVERY_RUN = ("output",)  # flags that are never the same


def compare_runs(settings: CompareSettings) -> dict[str, Any]:
    """Compares two runs.

    Returns:
      What ``compare.json`` holds. ``differ`` says whether rows, their values, or the columns do.

    Raises:
      CompareError: something cannot be compared.
    """
    for side, directory in (("A", settings.a), ("B", settings.b)):
        read_summary(side, directory)  # before anything is copied
    with _temporary_folder(settings.temporary_folder) as folder, Database(folder, settings.memory_gb) as database:
        a, b = stage_run("A", settings.a, folder), stage_run("B", settings.b, folder)
        return _compare(settings, database, a, b)


def _compare(settings: CompareSettings, database: Database, a: Run, b: Run) -> dict[str, Any]:
    identity = choose_identity(a, b, settings.key)
    rows = [run.summary["counts"]["rows"] for run in (a, b)]
    if sum(rows) >= _TOLD_ROWS:
        _LOG.info("Matching %s rows of A with %s of B.", *(f"{count:,}" for count in rows))
    matching = match_rows(database, a, b, identity)
    cells = transitions(database, settings.rows)
    if sum(rows) >= _TOLD_ROWS:
        _LOG.info("Comparing the columns of rows that both kept.")
    columns, only_a, only_b = compare_columns(database, a, b, tolerance=settings.tolerance, examples=settings.rows)
    groups = grouped(cells)
    problems = account(cells, a, b)
    as_they_were = groups["kept_in_both"] + groups["rejected_alike"] == sum(groups.values())
    values_equal = all(one.numbers["equal"] == one.numbers["rows"] for one in columns if not one.pair.is_of_the_run)
    return {
        "beam_recap_version": __version__,
        "a": _about(a),
        "b": _about(b),
        "differ": bool(not as_they_were or not values_equal or only_a or only_b),
        "settings": {"key": list(settings.key or ()) or None, "tolerance": settings.tolerance, "rows": settings.rows},
        "notes": [*a.notes, *b.notes, *_doubled(a), *_doubled(b)],
        "accounting": {"adds_up": not problems, "problems": problems},
        "config": _differences(a, b, "config", without=_OF_EVERY_RUN),
        "models": _differences(a, b, "models"),
        "versions": _differences(a, b, "versions"),
        "counts": totals(a, b),
        "funnel": funnel(a, b),
        "matching": matching,
        "rows": groups,
        "transitions": [
            {"a": cell.a.as_json(), "b": cell.b.as_json(), "group": cell.group, "rows": cell.rows} for cell in cells
        ],
        "columns": [column.numbers for column in columns],
        "columns_only_in_a": only_a,
        "columns_only_in_b": only_b,
        "examples": read_examples(database, a, b, cells, columns),
    }


def _about(run: Run) -> dict[str, Any]:
    summary = run.summary
    timings = summary.get("timings")
    told = {name: summary.get(name) for name in ("preset", "config_digest", "command", "beam_recap_version")}
    finished = timings.get("finished_at") if isinstance(timings, dict) else None
    return {
        "directory": run.directory,
        "name": os.path.basename(run.directory.rstrip("/")) or run.directory,
        **{name: None if value is None else str(value) for name, value in told.items()},
        "finished_at": None if finished is None else str(finished),
        **{name: summary["counts"][name] for name in ("rows", "kept", "rejected")},
    }


def _differences(a: Run, b: Run, what: str, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Entries of the summaries' mappings that are not equal; one that a summary lacks is told as not known."""
    of_a, of_b = a.summary[what], b.summary[what]
    names = [name for name in {**of_a, **of_b} if name not in without]
    return [
        {"name": name, "a": of_a.get(name, _NOT_THERE), "b": of_b.get(name, _NOT_THERE)}
        for name in names
        if _is_other(of_a, of_b, name)
    ]


def _is_other(a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> bool:
    return (name in a) != (name in b) or a.get(name) != b.get(name)


def _doubled(run: Run) -> list[str]:
    names = [*run.kept.doubled, *run.rejected.doubled]
    if not names:
        return []
    return [
        f"{run.side} has columns whose names differ from others in case only; they are left out: {', '.join(names)}."
    ]


@contextmanager
def _temporary_folder(parent: str | None) -> Iterator[Path]:
    try:
        folder = Path(tempfile.mkdtemp(prefix="beam-recap-compare-", dir=parent))
    except OSError as error:
        raise CompareError(
            f"--temporary_folder={parent or 'none'}: cannot be used ({error.strerror}); give a local "
            "folder that can be written"
        ) from None
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    ending.at_end(remove)
    try:
        yield folder
    finally:
        remove()
