"""Progress as a terminal shows it."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from beam_recap.progress import wording
from beam_recap.progress.phases import Phase
from beam_recap.progress.status import Status

_SHORTEST_BAR = 8


def console_of(file: object, *, width: int, height: int | None = None, is_screen: bool) -> Console:
    """A console that writes as it is told, whatever the environment says of terminals; colours obey NO_COLOR."""
    return Console(
        file=file,  # type: ignore[arg-type]
        width=width,
        height=height,
        force_terminal=is_screen,
        force_interactive=is_screen,
        color_system="auto" if is_screen else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def draw(status: Status, width: int) -> RenderableType:
    """The whole display, at most `width` columns wide."""
    lines: list[RenderableType] = [_head(status, width), _rows(status, width)]
    if status.phase is Phase.LOADING and not status.done:
        return Group(lines[0])
    lines.append(_outcomes(status))
    facts = []
    if status.rows_per_s is not None and status.phase is Phase.ROWS:
        facts.append(f"{wording.rate(status.rows_per_s)} rows/s")
    if status.fetched_bytes:
        speed = "" if status.bytes_per_s is None else f", {wording.size(status.bytes_per_s)}/s"
        facts.append(f"{wording.size(status.fetched_bytes)} downloaded{speed}")
    if status.resumed:
        facts.append(f"resumed: {status.resumed:,} rows were done")
    if facts:
        lines.append(Text("; ".join(facts)))
    if status.stages and status.phase is Phase.ROWS:
        lines.append(_stages(status))
    return Group(*lines)


def _head(status: Status, width: int) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(Text(str(status.phase).capitalize(), style="bold"), Text(wording.duration(status.elapsed_s), "dim"))
    line.width = width
    return line


def _rows(status: Status, width: int) -> RenderableType:
    share = wording.percent(status)
    told = wording.rows_of_total(status) + ("" if share is None else f"  {share} %")
    if time_left := wording.left(status):
        told += f"  {time_left}"
    bar_width = max(_SHORTEST_BAR, min(40, width - len(told) - 2))
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    if status.total.rows is None:
        return Text(told)
    bar = ProgressBar(total=max(1, status.total.rows), completed=status.done, width=bar_width)
    line.add_row(bar, Text(told))
    return line


def _outcomes(status: Status) -> RenderableType:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column()
    line.add_row(Text("kept", "green"), Text(f"{status.kept:,}"))
    rejected = Text(f"{sum(status.rejected.values()):,}")
    if status.rejected:
        rejected.append(f": {wording.reasons(status.rejected)}")
    line.add_row(Text("rejected", "red"), rejected)
    return line


def _stages(status: Status) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("stage", no_wrap=True)
    table.add_column("rows/s", justify="right", no_wrap=True)
    table.add_column("ms per row", justify="right", no_wrap=True)
    for stage in status.stages:
        table.add_row(stage.stage, wording.rate(stage.rows_per_s), wording.rate(stage.ms_per_row))
    return table
