"""Which rows are a sample of an input: each as likely as any other, from all parts of it, in few places of it."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from beam_recap.inputs.formats import GZIP, JSON, TAR
from beam_recap.inputs.units import MALFORMED, MOST_ROWS, Unit, plan_units
from beam_recap.plan.row_count import CountedShard

# Parts of the input that are opened at most: thousands of row groups of a remote table would take longer than the job.
MOST_PLACES = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A contiguous part of one file and the rows of it that are in the sample.

    Attributes:
      unit: the part; where only reading tells its end, the whole file.
      rows: their indexes in the unit, rising.
      number: of the place.
    """

    unit: Unit
    rows: tuple[int, ...]
    number: int


@dataclass(frozen=True, slots=True)
class RowSample:
    """``by_place``: rows of one place are not independent, because not every place of the input is in the sample."""

    places: tuple[Place, ...]
    by_place: bool

    @property
    def rows(self) -> int:
        return sum(len(place.rows) for place in self.places)


def choose_rows(counted: Sequence[CountedShard], rows: int, *, seed: int) -> RowSample:
    """Draws rows in two steps that give each row the same chance.

    The input is cut into equal stretches of rows; a random row of each stretch tells a place (so places are drawn in
    proportion to their rows, over the whole input), and from a place rows are drawn without replacement.

    Args:
      counted: the files to draw from, in the input's order.
      rows: how many; all, if there are no more.
      seed: the same seed draws the same rows of the same files.
    """
    shards = [shard for shard in counted if shard.rows and shard.format != MALFORMED]
    total = sum(shard.rows for shard in shards)
    wanted = min(rows, total)
    if not wanted:
        return RowSample((), by_place=False)
    chance = random.Random(seed)
    ends = list(itertools.accumulate(shard.rows for shard in shards))
    anchors = min(wanted, MOST_PLACES)
    drawn: dict[tuple[int, int], int] = {}  # (shard, place in it) -> how many rows
    places: dict[int, list[Unit]] = {}
    for number in range(anchors):
        row = min(total - 1, int((number + chance.random()) * total / anchors))
        shard = bisect.bisect_right(ends, row)
        if shard not in places:
            places[shard] = list(_places_of(shards[shard]))
        starts = [unit.start for unit in places[shard]]
        here = (shard, bisect.bisect_right(starts, row - (ends[shard] - shards[shard].rows)) - 1)
        share = wanted * (number + 1) // anchors - wanted * number // anchors
        drawn[here] = drawn.get(here, 0) + share
    chosen, lacking = [], 0
    for (shard, place), count in sorted(drawn.items()):
        unit = places[shard][place]
        size = _rows_of(unit, shards[shard])
        lacking += max(0, count - size)
        chosen.append((unit, set(chance.sample(range(size), min(count, size))), size))
    # A place that is smaller than its share leaves some for the others.
    for _, picked, size in sorted(chosen, key=lambda one: len(one[1]) / one[2]):
        more = min(lacking, size - len(picked))
        picked.update(chance.sample([row for row in range(size) if row not in picked], more))
        lacking -= more
    # Of small places it takes more than were drawn.
    others = [(shard, place) for shard in places for place in range(len(places[shard])) if (shard, place) not in drawn]
    for shard, place in chance.sample(others, len(others)) if lacking else ():
        unit = places[shard][place]
        size = _rows_of(unit, shards[shard])
        more = min(lacking, size)
        lacking -= more
        if more:
            chosen.append((unit, set(chance.sample(range(size), more)), size))
    chosen.sort(key=lambda one: (one[0].shard_number, one[0].start))
    seen = sum(size for _, _, size in chosen)
    sample = tuple(Place(unit, tuple(sorted(picked)), number) for number, (unit, picked, _) in enumerate(chosen))
    return RowSample(sample, by_place=seen < total)


def _places_of(shard: CountedShard) -> Iterator[Unit]:
    if shard.format in (TAR, JSON) or shard.format.endswith(GZIP):
        yield Unit(shard.shard.path, shard.shard.number, shard.format)
        return
    for unit in plan_units(shard.shard, MOST_ROWS):
        if unit.start < shard.rows:
            yield unit


def _rows_of(unit: Unit, shard: CountedShard) -> int:
    """Rows of a place that may be drawn; --max_rows may end a file early."""
    left = shard.rows - unit.start
    return left if unit.rows is None else min(unit.rows, left)
