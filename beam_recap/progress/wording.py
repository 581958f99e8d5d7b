"""Numbers and lines of progress, in words."""

from __future__ import annotations

from collections.abc import Mapping

from beam_recap.progress.phases import Phase
from beam_recap.progress.status import Status

TOP_REASONS = 5


def size(number: float) -> str:
    """Bytes: ``812 B``, ``1.2 MB``; of powers of ten, as networks count."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} B" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def duration(seconds: float) -> str:
    """``0:42``, ``1:02:03``, ``3 d 4 h``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24:,} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(number: float | None) -> str:
    """A number of a few digits: ``8.4``, ``120``, ``1,203``; ``-`` for None."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}"


def reasons(rejected: Mapping[str, int], most: int = TOP_REASONS) -> str:
    """The most frequent reasons with their rows, and how many rows have another."""
    ordered = sorted(((reason, rows) for reason, rows in rejected.items() if rows), key=lambda one: (-one[1], one[0]))
    told = [f"{reason} {rows:,}" for reason, rows in ordered[:most]]
    if others := sum(rows for _, rows in ordered[most:]):
        told.append(f"others {others:,}")
    return ", ".join(told)


def rows_of_total(status: Status) -> str:
    """``43 of 96 rows``, ``43 of about 100 rows`` or ``43 rows so far``."""
    if status.total.rows is None:
        return f"{status.done:,} row{'' if status.done == 1 else 's'} so far"
    return f"{status.done:,} of {'about ' if status.total.is_estimate else ''}{status.total.rows:,} rows"


def percent(status: Status) -> int | None:
    """Of the rows, those that are done, rounded down; None without a total."""
    return int(100 * status.done / status.total.rows) if status.total.rows else None


def left(status: Status) -> str:
    """``ETA 0:42``; "" where nothing is known."""
    if status.left_s is None:
        return ""
    return f"ETA {'at most ' if status.left_at_most else ''}{duration(status.left_s)}"


def phase_line(phase: Phase) -> str:
    """What is said as a phase begins."""
    return f"Phase: {phase}."


def rows_line(status: Status) -> str:
    """All facts about rows in one line."""
    share = percent(status)
    done = f"{rows_of_total(status)} done" if status.total.rows is not None else f"{status.done:,} rows done so far"
    parts = [done + ("" if share is None else f" ({share} %)")]
    if status.resumed:
        parts.append(f"resumed: {status.resumed:,} were done")
    rejected = f"{sum(status.rejected.values()):,} rejected"
    top = reasons(status.rejected)
    parts += [f"{status.kept:,} kept", rejected + (f" ({top})" if top else "")]
    if status.rows_per_s is not None:
        parts.append(f"{rate(status.rows_per_s)} rows/s")
    if status.fetched_bytes:
        speed = "" if status.bytes_per_s is None else f" ({size(status.bytes_per_s)}/s)"
        parts.append(f"{size(status.fetched_bytes)} downloaded{speed}")
    if told := left(status):
        parts.append(told)
    stages = [f"{stage.stage} {rate(stage.rows_per_s)}" for stage in status.stages if stage.rows_per_s is not None]
    return ", ".join(parts) + (f"; by stage, rows/s: {', '.join(stages)}" if stages else "")
