"""Reads texts as ReadShards does: plans the units and reads each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beam_recap.inputs.text_rows import read_text_rows
from beam_recap.inputs.units import Shard, Unit, plan_units
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage

FLAGS = {"url_column": None, "caption_column": None}


def read_unit(unit: Unit, done: set[int] | None = None, **columns: str) -> tuple[list[Outcome], int]:
    """The unit's outcomes and its number of rows."""
    chosen: dict[str, Any] = {**FLAGS, **columns}
    rows = read_text_rows(unit, done=done or set(), **chosen)
    outcomes: list[Outcome] = []
    while True:
        try:
            outcomes.append(next(rows))
        except StopIteration as end:
            return outcomes, end.value


def read_file(path: Path, unit_rows: int = 2000, **columns: str) -> list[Outcome]:
    """The outcomes of a file; also checks what holds for every file."""
    outcomes: list[Outcome] = []
    for unit in plan_units(Shard(str(path), 3), unit_rows):
        found, rows = read_unit(unit, **columns)
        samples = [sample_of(outcome) for outcome in found]
        assert [(sample.unit, sample.index) for sample in samples] == [(unit.name, index) for index in range(rows)]
        assert [sample.source_row for sample in samples] == [unit.start + index for index in range(rows)]
        assert unit.rows in (None, rows)
        outcomes += found
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            assert outcome.stage is Stage.READ and (outcome.detail or outcome.reason is Reason.MISSING_URL)
    return outcomes


def read_bytes(path: Path, data: bytes, unit_rows: int = 2000, **columns: str) -> list[Outcome]:
    """`read_file` of these bytes."""
    path.write_bytes(data)
    return read_file(path, unit_rows, **columns)


def sample_of(outcome: Outcome) -> Sample:
    return outcome.sample if isinstance(outcome, Rejection) else outcome


def told(outcomes: list[Outcome]) -> list[str | None]:
    """For each row its URL, or the reason it is out."""
    return [str(row.reason) if isinstance(row, Rejection) else row.url for row in outcomes]
