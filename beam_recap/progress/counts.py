"""`Counts`: what a process has done since it began, in numbers that add up."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from beam_recap.costs import COSTED

_MOST = 1 << 53  # what JSON's numbers hold


@dataclass(slots=True)
class Counts:
    """Cumulative numbers of one process, or of all."""

    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # rows by reason
    stage_rows: list[int] = field(default_factory=lambda: [0] * len(COSTED))  # in the order of `costs.COSTED`
    stage_seconds: list[float] = field(default_factory=lambda: [0.0] * len(COSTED))  # of threads
    fetched_bytes: int = 0
    skipped: int = 0  # rows that had an outcome when their unit was begun
    planned_rows: int = 0  # of units whose rows are known beforehand
    planned_streams: int = 0  # units whose rows only reading tells
    ended_streams: int = 0
    ended_stream_rows: int = 0
    begun_units: int = 0
    unit: str = ""  # that was begun last

    @property
    def rejected_rows(self) -> int:
        return sum(self.rejected.values())

    @property
    def rows(self) -> int:
        """Rows that got an outcome."""
        return self.kept + self.rejected_rows

    def copy(self) -> Counts:
        return dataclasses.replace(
            self,
            rejected=self.rejected.copy(),
            stage_rows=self.stage_rows.copy(),
            stage_seconds=self.stage_seconds.copy(),
        )


def sum_counts(parts: Iterable[Counts]) -> Counts:
    """The counts of several processes together; ``unit`` is one of theirs."""
    total = Counts()
    for part in parts:
        for name in _NUMBERS:
            setattr(total, name, getattr(total, name) + getattr(part, name))
        total.rejected.update(part.rejected)
        for number, (rows, seconds) in enumerate(zip(part.stage_rows, part.stage_seconds, strict=True)):
            total.stage_rows[number] += rows
            total.stage_seconds[number] += seconds
        total.unit = part.unit or total.unit
    return total


_NUMBERS = tuple(one.name for one in dataclasses.fields(Counts) if one.default == 0)


def to_line(process: str, counts: Counts) -> str:
    """One line of JSON in ASCII, for another process."""
    values = {one.name: getattr(counts, one.name) for one in dataclasses.fields(Counts)}
    return json.dumps([process, values], separators=(",", ":"))


def from_line(line: str) -> tuple[str, Counts] | None:
    """What `to_line` was given; None for anything else."""
    try:
        process, values = json.loads(line)
        rejected = {str(reason): _whole(rows) for reason, rows in values["rejected"].items()}
        counts = Counts(**{name: _whole(values[name]) for name in _NUMBERS})
        counts.rejected.update(rejected)
        counts.stage_rows = [_whole(rows) for rows in values["stage_rows"]]
        counts.stage_seconds = [float(seconds) for seconds in values["stage_seconds"]]
        counts.unit = str(values["unit"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if len(counts.stage_rows) != len(COSTED) or len(counts.stage_seconds) != len(COSTED):
        return None
    return str(process), counts


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError(f"{value!r} is no count")
    return value
