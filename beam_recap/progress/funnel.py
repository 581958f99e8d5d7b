"""What is said at the end of a run: its funnel, its totals, and where everything was written. From ``summary.json``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from beam_recap import files
from beam_recap.progress import wording
from beam_recap.progress.screen import console_of
from beam_recap.terminal import TERMINAL

_REASONS = 4
_LEAST_WIDTH = 80  # columns, for the reasons to have one
_PLAIN_WIDTH = 110
_FILES = ("summary.json", "README.md", "report.html")


def say_end(summary: Mapping[str, Any], output: str) -> None:
    """Shows it on the terminal: a table there, aligned text elsewhere."""
    stream = TERMINAL.stream
    if stream is None:
        return
    is_screen = TERMINAL.is_screen
    width = TERMINAL.size[0] if is_screen else _PLAIN_WIDTH
    console = console_of(stream, width=width, is_screen=is_screen)
    funnel = summary["counts"]["by_stage"]
    is_wide = width >= _LEAST_WIDTH
    told = [*([] if is_wide else reason_lines(funnel)), *total_lines(summary)]
    with console.capture() as drawn:
        console.print(Group(funnel_table(funnel, with_reasons=is_wide), *map(Text, told)))
        for line in path_lines(summary, output):
            console.print(line, soft_wrap=True)  # a path that is broken cannot be copied
    TERMINAL.say("\n".join(["", *(line.rstrip() for line in drawn.get().splitlines())]))


def funnel_table(funnel: Sequence[Mapping[str, Any]], *, with_reasons: bool = True) -> RenderableType:
    """A row for each stage, as wide as the console."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("stage", no_wrap=True)
    for name in ("rows in", "rejected", "rows out"):
        table.add_column(name, justify="right")
    table.add_column("ms/row", justify="right")
    if with_reasons:
        table.add_column("top reasons", overflow="fold")
    for stage in funnel:
        cost = stage["ms_per_row"]
        table.add_row(
            stage["stage"],
            f"{stage['rows_in']:,}",
            f"{stage['rejected']:,}",
            f"{stage['rows_out']:,}",
            "" if cost is None else wording.rate(cost),
            *([wording.reasons(stage["reasons"], _REASONS)] if with_reasons else []),
        )
    return table


def reason_lines(funnel: Sequence[Mapping[str, Any]]) -> list[str]:
    """The reasons by stage, where the table has no room for them."""
    return [f"{stage['stage']}: {wording.reasons(stage['reasons'], _REASONS)}" for stage in funnel if stage["reasons"]]


def total_lines(summary: Mapping[str, Any]) -> list[str]:
    """Rows, kept and rejected, and what they took."""
    counts, timings = summary["counts"], summary["timings"]
    share = "" if counts["kept_percent"] is None else f" ({counts['kept_percent']:g} %)"
    told = f"Done: {counts['rows']:,} rows, {counts['kept']:,} kept{share}, {counts['rejected']:,} rejected"
    if summary["slices"] is not None:
        told += f", in {len(summary['slices']['done'])} of {summary['slices']['total']} slices"
    took = f"This run took {wording.duration(timings['elapsed_s'])}"
    if timings["rows_per_s"] is not None:
        took += f", {wording.rate(timings['rows_per_s'])} rows/s"
    if timings["attempt"] > 1:
        took += f"; it was attempt {timings['attempt']}, and the rows are those of all"
    return [f"{told}.", f"{took}."]


def path_lines(summary: Mapping[str, Any], output: str) -> list[str]:
    """The files and folders that were written, with their sizes."""
    number: Counter[str] = Counter()
    file_bytes: Counter[str] = Counter()
    for file in summary["files"]:
        folder = file["name"].partition("/")[0]
        number[folder] += 1
        file_bytes[folder] += file["bytes"]
    told = {f"{folder}/": f"{_files(number[folder])}, {wording.size(file_bytes[folder])}" for folder in number}
    for folder in _further_folders(output, set(number)):
        told[f"{folder}/"] = ""
    told |= {name: "" for name in _FILES if files.exists(files.join(output, name))}
    paths = {name: files.join(output, name) for name in told}
    width = max(map(len, paths.values()), default=0)
    return ["Written:", *(f"  {paths[name]:<{width}}  {about}".rstrip() for name, about in told.items())]


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"


def _further_folders(output: str, known: set[str]) -> list[str]:
    """Folders of a local output that the summary's files are not of; the checkpoint is nobody's result."""
    if "://" in output or not os.path.isdir(output):
        return []
    with os.scandir(output) as found:
        names = sorted(one.name for one in found if one.is_dir() and not one.name.startswith(("_", ".")))
    return [name for name in names if name not in known]
