"""What a finished run has left to publish, each file checked against ``summary.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import files
from beam_recap.isolation import describe_error
from beam_recap.publish.local_copies import at_hand
from beam_recap.publish.settings import DATA, PARTS, REPORT

CARD, SUMMARY, PAGE = "README.md", "summary.json", "report.html"
FOLDERS = tuple(part for part in PARTS if part != REPORT)
_MAX_JSON_BYTES = 1 << 26  # a summary of 100,000 files has some 20 MB
_BATCH_ROWS = 10_000  # as the files' row groups


class PublishError(Exception):
    """The output cannot be published as it is: one sentence on what was expected, what was found and what to do."""


@dataclass(frozen=True, slots=True)
class RunFile:
    """One file of an output, by its name in it."""

    name: str
    path: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Table:
    """What a Parquet file of ``data/`` says of itself."""

    name: str
    schema: pa.Schema
    rows: int
    file_bytes: int
    arrow_bytes: int  # of its rows as they are read


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    output: str
    summary: dict[str, Any]
    card: str
    files: tuple[RunFile, ...]  # the card last
    tables: tuple[Table, ...]  # of ``data/``, in order

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read_run(output: str, include: Sequence[str]) -> Run:
    """Reads every file of a run through, and sees that it is the one that the run's summary tells of.

    Args:
      output: the run's directory.
      include: some of `PARTS`, of which each must be there; none: all that are there.

    Raises:
      PublishError: the run has not ended, or a file is missing, changed or not the run's.
    """
    summary = _read_summary(output)
    told = _told_files(summary)
    _check_names(output, told)
    parts = {name.split("/")[0] for name in told}
    if missing := [part for part in include if part not in (*parts, REPORT)]:
        raise PublishError(f"--include asks for {missing[0]}, but the run wrote none; leave it out of --include")
    wanted = tuple(include) or (*parts, REPORT)
    chosen, tables = [], []
    rows = dict.fromkeys(FOLDERS, 0)
    for name, facts in told.items():
        folder = name.split("/")[0]
        found, table = _read_file(output, name, facts)
        rows[folder] += facts["rows"]
        if folder == DATA:
            tables.append(table)
        if folder in wanted:
            chosen.append(found)
    _check_counts(summary, rows)
    for name in (PAGE, SUMMARY) if REPORT in wanted else ():
        chosen.append(_read_small(output, name)[0])
    card, text = _read_small(output, CARD)
    try:
        return Run(output, summary, text.decode(), (*chosen, card), tuple(tables))
    except UnicodeDecodeError:
        raise PublishError(f"{CARD} is not UTF-8; {_again('write')}") from None


def _read_summary(output: str) -> dict[str, Any]:
    path = files.join(output, SUMMARY)
    if not _exists(path):
        raise PublishError(f"{SUMMARY} is not there, so no run has ended here; {_again('end')}")
    try:
        with files.open_read(path) as file:
            summary = json.loads(file.read(_MAX_JSON_BYTES))
        counts = summary["counts"]
        known = [counts["rows"], counts["kept"], counts["rejected"], summary["files"], summary["beam_recap_version"]]
        slices = summary["slices"]
        left = [] if slices is None else sorted(set(range(1, slices["total"] + 1)) - set(slices["done"]))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise PublishError(f"{SUMMARY} cannot be read ({describe_error(error)}); {_again('write')}") from None
    if left:
        raise PublishError(
            f"{SUMMARY} tells of {len(slices['done'])} of {slices['total']} slices; run --slice={left[0]}/"
            f"{slices['total']} and whichever else are left"
        )
    if known[0] != known[1] + known[2]:
        raise PublishError(f"{SUMMARY} says that {known[0]} rows are {known[1]} + {known[2]}; {_again('write')}")
    if not known[1]:
        raise PublishError(f"{SUMMARY} says that no row was kept, and a dataset without rows cannot be loaded")
    return summary


def _told_files(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the summary says of each file, by name."""
    told = {}
    for facts in summary["files"]:
        name = facts.get("name") if isinstance(facts, dict) else None
        kinds = {"rows": int, "bytes": int, "sha256": str}
        steps = name.split("/") if isinstance(name, str) else ()
        if len(steps) != 2 or steps[0] not in FOLDERS or not all(isinstance(facts.get(k), t) for k, t in kinds.items()):
            raise PublishError(f"{SUMMARY} tells of a file {name!r} that no run writes; {_again('write')}")
        told[name] = facts
    return told


def _check_names(output: str, told: dict[str, Any]) -> None:
    """The folders hold what the summary tells of, and nothing else."""
    for folder in FOLDERS:
        place = files.join(output, folder)
        there = {path[len(place) + 1 :] for path in files.match_beneath(place)}
        expected = {name.split("/")[1] for name in told if name.startswith(f"{folder}/")}
        if stray := sorted(there - expected):
            raise PublishError(
                f"{folder}/{stray[0]} is not among the files that {SUMMARY} tells of; move it out of {folder}/"
            )
        if missing := sorted(expected - there):
            raise PublishError(
                f"{folder}/{missing[0]} is not there, but {SUMMARY} tells of it; bring it back, or {_again('write')}"
            )


def _read_file(output: str, name: str, facts: dict[str, Any]) -> tuple[RunFile, Table | None]:
    path = files.join(output, name)
    try:
        with at_hand([path]) as (place,):
            size, digest = _digest(place)
            for what, expected, found in (("bytes", facts["bytes"], size), ("sha256", facts["sha256"], digest)):
                if expected != found:
                    raise PublishError(
                        f"{name} is not the file that the run wrote: {SUMMARY} says {what} {expected}, it has {found}; "
                        "bring that one back, or " + _again("write")
                    )
            table = _read_table(name, place, size) if name.endswith(".parquet") else None
    except (OSError, pa.ArrowException) as error:
        raise PublishError(f"{name} cannot be read ({describe_error(error)}); put that right") from None
    if table is not None and table.rows != facts["rows"]:
        raise PublishError(f"{name} has {table.rows} rows, but {SUMMARY} says {facts['rows']}; {_again('write')}")
    return RunFile(name, path, size, digest), table


def _read_table(name: str, place: str, size: int) -> Table:
    with pq.ParquetFile(place) as file:
        is_data = name.startswith(f"{DATA}/")
        arrow_bytes = sum(batch.nbytes for batch in file.iter_batches(_BATCH_ROWS)) if is_data else 0
        return Table(name, file.schema_arrow, file.metadata.num_rows, size, arrow_bytes)


def _check_counts(summary: dict[str, Any], rows: dict[str, int]) -> None:
    for folder, count in ((DATA, "kept"), ("rejected", "rejected")):
        if rows[folder] != summary["counts"][count]:
            raise PublishError(
                f"the files in {folder}/ hold {rows[folder]} rows, but {SUMMARY} counts "
                f"{summary['counts'][count]} {count}; {_again('write')}"
            )


def _read_small(output: str, name: str) -> tuple[RunFile, bytes]:
    path = files.join(output, name)
    if not _exists(path):
        raise PublishError(f"{name} is not there; {_again('write')}")
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise PublishError(f"{name} cannot be read ({describe_error(error)}); put that right") from None
    if not data.strip():
        raise PublishError(f"{name} is empty; {_again('write')}")
    return RunFile(name, path, len(data), hashlib.sha256(data).hexdigest()), data


def _exists(path: str) -> bool:
    try:
        return files.exists(path)
    except OSError:
        return False


def _digest(place: str) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    for chunk in _chunks(place):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def _chunks(place: str) -> Iterator[bytes]:
    with open(place, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _again(what: str) -> str:
    ending = "until it ends" if what == "end" else "which writes it anew"
    return f"run the command of the run again, {ending}"
