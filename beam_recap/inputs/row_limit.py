"""The head of the input: what ``--max_rows`` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from beam_recap.inputs.formats import TAR
from beam_recap.inputs.tar_rows import count_rows
from beam_recap.inputs.text_rows import count_text_rows
from beam_recap.inputs.units import Unit


def limit_units(units: Iterable[Unit], max_rows: int) -> Iterator[Unit]:
    """The first units that hold ``max_rows`` rows, the last one cut."""
    left = max_rows
    for unit in units:
        if unit.rows is None:
            # Only reading tells how many rows a stream holds: count them, so that the next unit's share is known.
            rows = min(left, count_rows(unit.path)) if unit.format == TAR else count_text_rows(unit, left)
            yield replace(unit, limit=rows)
        else:
            rows = min(left, unit.rows)
            yield replace(unit, rows=rows)
        left -= rows
        if left <= 0:
            return
