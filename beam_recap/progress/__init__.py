"""What people see of a run while it goes on."""

from __future__ import annotations

from beam_recap.progress.counter import PERIOD_S, PROGRESS, Progress
from beam_recap.progress.phases import Phase

__all__ = ["PERIOD_S", "PROGRESS", "Phase", "Progress"]
