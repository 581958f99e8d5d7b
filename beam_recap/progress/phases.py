"""The phases of a run, as its stages tell them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Phase(StrEnum):
    """Where a run is. The values are what people read."""

    LOADING = "loading models"
    ROWS = "rows"
    CURATE = "finishing (looking at all rows together)"
    FILES = "finishing (writing files)"
    REPORT = "finishing (writing the report)"


# Steps of the graph, by how their names begin; what is further down comes later in a run.
_STEPS = (
    ("ReadShards/ReadUnits", Phase.ROWS),
    ("CaptionImage", Phase.ROWS),
    ("Checkpoint/Write", Phase.ROWS),
    ("Curate/ReadKept", Phase.CURATE),
    ("Curate/Deduplicate", Phase.CURATE),
    ("Curate/Write", Phase.CURATE),
    ("WriteParquet/PlanOutputShards", Phase.FILES),
    ("WriteParquet/Assemble", Phase.FILES),
    ("WriteSummary/Write", Phase.REPORT),
)


def phase_of(steps: Iterable[str]) -> Phase | None:
    """The phase of a stage that has these steps; None for one that says nothing of it."""
    names = list(steps)
    return next((phase for start, phase in _STEPS if any(name.startswith(start) for name in names)), None)
