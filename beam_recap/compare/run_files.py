"""A finished run's directory: its ``summary.json``, and its Parquet files under plain local paths."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.compare.settings import CompareError
from beam_recap.isolation import describe_error

KEPT, REJECTED = "data", "rejected"
_PARQUET = re.compile(r"(data|rejected)/[^/]+\.parquet")
_MOST_NAMES = 3  # that a sentence lists


@dataclass(frozen=True, slots=True)
class Part:
    """The Parquet files of ``data/`` or of ``rejected/``.

    Attributes:
      paths: in the input's order.
      columns: their names, in order; of two names that differ in case only, the first.
      doubled: names that are left out for that.
    """

    paths: tuple[str, ...]
    columns: tuple[str, ...]
    doubled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One side of the comparison."""

    side: str  # "A" or "B"
    directory: str
    summary: dict[str, Any]
    kept: Part
    rejected: Part
    notes: tuple[str, ...]


def read_summary(side: str, directory: str) -> dict[str, Any]:
    """A run's summary, of which what is used here has the right form.

    Raises:
      CompareError: there is none, or it is something else.
    """
    path = files.join(directory, "summary.json")
    if not files.exists(path):
        raise CompareError(
            f"{side}={directory}: has no summary.json, which a run writes when it ends; give the output directory of a "
            "finished run"
        )
    try:
        summary = json.loads(files.read_bytes(path))
        counts = summary["counts"]
        for name in ("rows", "kept", "rejected"):
            _whole(counts[name])
        for stage in counts["by_stage"]:
            str(stage["stage"]), _whole(stage["rejected"])
            for reason, rows in stage["reasons"].items():
                str(reason), _whole(rows)
        for name in ("config", "models", "versions"):
            dict(summary[name])
        if not all(isinstance(file["name"], str) for file in summary["files"]):
            raise TypeError("a file's name is no text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CompareError(
            f"{side}={directory}: its summary.json is not that of a run ({describe_error(error)}); give the output "
            "directory of a finished run"
        ) from None
    return summary


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no number of rows")
    return value


def stage_run(side: str, directory: str, folder: Path) -> Run:
    """Reads a summary and makes its Parquet files readable by path: links to local ones, copies of others.

    The names are plain ones of ours: what a path holds (globs, ``name=value``) then means nothing to who reads it.

    Raises:
      CompareError: no finished run, or its files are not there or cannot be read.
    """
    summary = read_summary(side, directory)
    named = [file["name"] for file in summary["files"] if _PARQUET.fullmatch(file["name"])]
    notes = _notes(side, directory, summary, named)
    parts = {}
    for part in (KEPT, REJECTED):
        names = [name for name in named if name.startswith(f"{part}/")]
        if not names:
            raise CompareError(
                f"{side}={directory}: its summary.json names no Parquet file in {part}/; run the job again"
            )
        target = folder / side.lower() / part
        target.mkdir(parents=True)
        paths = [_place(side, files.join(directory, name), target / f"{n:06d}.parquet") for n, name in enumerate(names)]
        parts[part] = _part(side, files.join(directory, names[0]), paths)
    return Run(side, directory, summary, parts[KEPT], parts[REJECTED], notes)


def _place(side: str, path: str, target: Path) -> str:
    try:
        if "://" in path:
            with files.open_read(path) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy, 2**20)
        else:
            if not os.path.isfile(path):
                raise FileNotFoundError("there is no such file")
            target.symlink_to(os.path.abspath(path))
    except OSError as error:
        if getattr(error, "filename", None) == str(target):
            raise
        raise CompareError(
            f"{side}: {path}, which its summary.json names, cannot be read ({describe_error(error)}); bring it "
            "back, or run the job again"
        ) from None
    return str(target)


def _part(side: str, named: str, paths: Sequence[str]) -> Part:
    try:
        schema = pq.read_schema(paths[0])
    except (OSError, pa.ArrowException) as error:
        raise CompareError(f"{side}: {named} is no Parquet file ({describe_error(error)}); run the job again") from None
    first: dict[str, str] = {}
    doubled = []
    for name in schema.names:
        if first.setdefault(name.lower(), name) != name:
            doubled.append(name)
    return Part(tuple(paths), tuple(first.values()), tuple(doubled))


def _notes(side: str, directory: str, summary: dict[str, Any], named: Sequence[str]) -> tuple[str, ...]:
    notes = []
    slices = summary.get("slices")
    if isinstance(slices, dict) and isinstance(slices.get("done"), list) and len(slices["done"]) != slices.get("total"):
        notes.append(f"{side} is not whole: {len(slices['done'])} of its {slices.get('total')} slices have ended.")
    there = [path for part in (KEPT, REJECTED) for path in files.match_in(directory, f"{part}/*.parquet")]
    others = sorted({"/".join(path.rsplit("/", 2)[-2:]) for path in there} - set(named))
    if others:
        shown = ", ".join(others[:_MOST_NAMES]) + (" ..." if len(others) > _MOST_NAMES else "")
        notes.append(f"{side} holds Parquet files that its summary.json does not name; they are left out: {shown}.")
    return tuple(notes)
