from __future__ import annotations

import json
import pickle
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.merging import merge_all, split

from beam_recap.tally.heavy_hitters import HeavyHitters

THINGS = st.lists(st.integers(0, 30).map(str), max_size=300)


def counted(things: list[str], capacity: int) -> HeavyHitters:
    made = HeavyHitters(capacity)
    made.add(things)
    return made


@given(THINGS, st.randoms(use_true_random=False))
def test_any_merge_is_exact_while_there_is_room(things: list[str], rng: random.Random) -> None:
    parts = [counted(part, 31) for part in split(things, rng)]
    merged = merge_all(parts, lambda: HeavyHitters(31), rng)
    expected = sorted(Counter(things).items(), key=lambda item: (-item[1], item[0]))
    assert merged.most_frequent(50) == expected
    assert merged.most_frequent(3) == expected[:3]
    assert merged.most_frequent(50, at_least=2) == [item for item in expected if item[1] >= 2]
    assert merged.undercount == 0


@given(THINGS, st.randoms(use_true_random=False), st.integers(1, 12))
def test_beyond_that_no_count_is_too_high_or_too_low_by_more_than_it_says(
    things: list[str], rng: random.Random, capacity: int
) -> None:
    parts = [HeavyHitters(capacity) for _ in range(4)]
    for part in split(things, rng):
        rng.choice(parts).add(part)
    merged = merge_all(parts, lambda: HeavyHitters(capacity), rng)
    found = dict(merged.most_frequent(100))
    assert len(found) == len(merged) <= capacity
    assert merged.undercount <= 2 * len(things) / capacity
    for thing, count in Counter(things).items():
        assert count - merged.undercount <= found.get(thing, 0) <= count


def test_what_is_frequent_stays_among_very_many() -> None:
    rng = random.Random(4)
    things = [str(number) for number in range(20_000)] + ["often"] * 900 + ["more often"] * 1500
    rng.shuffle(things)
    summary = HeavyHitters(100)
    for start in range(0, len(things), 70):
        summary.add(things[start : start + 70])
        assert len(summary) <= 100
    (first, most), (second, more) = summary.most_frequent(2)
    assert (first, second) == ("more often", "often")
    assert 0 < summary.undercount <= 2 * len(things) / 100
    assert 1500 - summary.undercount <= most <= 1500 and 900 - summary.undercount <= more <= 900


def test_counts_can_be_added_as_they_are() -> None:
    summary = HeavyHitters(5)
    summary.add(Counter(a=2, b=3))
    summary.add(["a", "a"])
    assert summary.most_frequent(5) == [("a", 4), ("b", 3)]


@pytest.mark.parametrize("capacity", [3, 100])
def test_it_travels(capacity: int) -> None:
    summary = counted([*"aaabbcdefg", "\udcff", 'quote"\n'], capacity)
    for back in (
        pickle.loads(pickle.dumps(summary)),
        HeavyHitters.of_json(json.loads(json.dumps(summary.as_json())), capacity),
    ):
        assert back.most_frequent(99) == summary.most_frequent(99)
        back.add("xyz")
        summary_too = pickle.loads(pickle.dumps(summary))
        summary_too.add("xyz")
        assert (back.most_frequent(99), back.undercount) == (summary_too.most_frequent(99), summary_too.undercount)
