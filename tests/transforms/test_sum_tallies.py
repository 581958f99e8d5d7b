from __future__ import annotations

import random

from support.collected import run_and_collect

from beam_recap.records import Outcome, Reason, Sample, Stage
from beam_recap.tally.row_tally import RowTally
from transforms.sum_tallies import SumTallies


def rows(count: int) -> list[Outcome]:
    rng = random.Random(count)
    found: list[Outcome] = []
    for index in range(count):
        caption = f"a {rng.choice(['red', 'blue'])} {rng.choice(['dog', 'cat'])}"
        sample = Sample(unit="u", index=index, uid=str(index), key="k", caption=caption, clip_score=rng.random())
        found.append(sample.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE) if rng.random() < 0.5 else sample)
    return found


def tally_of(outcomes: list[Outcome]) -> RowTally:
    tally = RowTally()
    tally.add(outcomes)
    return tally


def test_shards_of_several_thousands_are_added_up() -> None:
    outcomes = rows(400)
    shards = [(number, tally_of(outcomes[number // 250 :: 16])) for number in range(0, 4000, 250)]
    (found,) = run_and_collect(shards, SumTallies())
    whole = tally_of(outcomes)
    assert found.rows == 400
    assert (found.summary(), found.examples()) == (whole.summary(), whole.examples())


def test_no_shards_are_an_empty_tally() -> None:
    (found,) = run_and_collect([], SumTallies())
    assert (found.rows, found.summary()) == (0, RowTally().summary())
