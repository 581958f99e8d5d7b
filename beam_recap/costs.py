"""What each stage costs a row, and which order of filters costs least."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beam_recap.records import Outcome, Rejection, Stage

# In the order of a sample's `seconds`. Fetching counts as decoding: while a row downloads, a worker does other things.
COSTED = (Stage.FETCH, Stage.CLIP, Stage.AESTHETIC, Stage.OCR, Stage.CAPTION)


@dataclass(frozen=True, slots=True)
class FilterCost:
    """What a filter was measured to do.

    Attributes:
      seconds: of a worker's thread, for one row.
      passed: the share of rows that pass it, [0, 1].
    """

    seconds: float
    passed: float


def with_cost(outcome: Outcome, stage: Stage, seconds: float) -> Outcome:
    """An outcome to which a stage's seconds are added."""
    if isinstance(outcome, Rejection):
        sample = with_cost(outcome.sample, stage, seconds)
        return dataclasses.replace(outcome, sample=sample)  # type: ignore[arg-type]
    so_far = list(outcome.seconds or (None,) * len(COSTED))
    number = COSTED.index(stage)
    so_far[number] = (so_far[number] or 0.0) + seconds
    return dataclasses.replace(outcome, seconds=tuple(so_far))


def total_seconds(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Seconds of all outcomes by stage; a stage that none went through is left out."""
    totals: dict[str, float] = {}
    for outcome in outcomes:
        sample = outcome.sample if isinstance(outcome, Rejection) else outcome
        for stage, seconds in zip(COSTED, sample.seconds or (), strict=False):
            if seconds is not None:
                totals[str(stage)] = totals.get(str(stage), 0.0) + seconds
    return totals


def expected_seconds(order: Sequence[str], costs: Mapping[str, FilterCost]) -> float:
    """Seconds for one row that enters the filters in an order, if each passes its share whatever the others do."""
    seconds, left = 0.0, 1.0
    for name in order:
        seconds += left * costs[name].seconds
        left *= costs[name].passed
    return seconds


def cheapest_order(costs: Mapping[str, FilterCost], after: Mapping[str, str]) -> tuple[str, ...]:
    """The order of filters with the least `expected_seconds`, of equal ones the first in the order of `costs`.

    Args:
      costs: by the filters' names.
      after: filters that need another before them, by name.
    """
    orders = [
        order
        for order in itertools.permutations(costs)
        if all(order.index(first) < order.index(name) for name, first in after.items() if {name, first} <= set(order))
    ]
    return min(orders, key=lambda order: expected_seconds(order, costs), default=())
