"""Near duplicates of a cluster: who stays, and what the others are told."""

from __future__ import annotations

import math
import random
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.duplicate_rows import brute_gone, row

from beam_recap.duplicates.near import near_duplicates
from beam_recap.duplicates.rows import DuplicateRow
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.records import Reason


def at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def test_the_best_of_linked_rows_stays() -> None:
    rows = [row(0, vector=at(0), similarity=0.3), row(1, vector=at(10), similarity=0.4), row(2, vector=at(80))]
    (decision,) = near_duplicates(rows, 0.94)
    assert decision.place == rows[0].place
    assert decision.reason is Reason.NEAR_DUPLICATE_IMAGE
    assert decision.detail == "cosine 0.9848 to uid1, row 1 of u"


def test_a_chain_keeps_one_and_tells_the_link() -> None:
    rows = [row(number, vector=at(15 * number), similarity=-number) for number in range(4)]
    decisions = near_duplicates(rows, 0.94)
    assert [(one.place.index, one.detail) for one in decisions] == [
        (1, "cosine 0.9659 to uid0, row 0 of u"),
        (2, "linked over others, the nearest (0.9659) is uid1; cosine 0.8661 to uid0, row 0 of u"),
        (3, "linked over others, the nearest (0.9659) is uid2; cosine 0.7071 to uid0, row 0 of u"),
    ]


def test_in_a_large_component_links_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.duplicates.near._MAX_ROWS_FOR_NEIGHBOURS", 3)
    rows = [row(number, vector=at(15 * number), similarity=-number) for number in range(4)]
    assert near_duplicates(rows, 0.94)[-1].detail == "linked over others; cosine 0.7071 to uid0, row 0 of u"


def test_rows_without_direction_stay() -> None:
    rows = [row(0), row(1, vector=[0, 0]), row(2, vector=[0, 0]), row(3, vector=[math.nan, 1]), row(4, vector=at(0))]
    assert near_duplicates(rows, 0.01) == []
    assert near_duplicates([], 0.94) == near_duplicates(rows[:1], 0.94) == []


def test_embeddings_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different sizes: \[2, 3\]"):
        near_duplicates([row(0, vector=at(0)), row(1, vector=[1, 0, 0])], 0.94)


SCORE = st.sampled_from([None, 0.1, 0.2])
ROWS = st.lists(
    st.tuples(st.integers(0, 18), SCORE, SCORE, st.sampled_from(["a", "b"])).map(
        lambda drawn: {"vector": at(drawn[0] * 10), "similarity": drawn[1], "aesthetic": drawn[2], "uid": drawn[3]}
    ),
    max_size=20,
)


@settings(deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.sampled_from([0.94, 0.98, 0.99, 1.0]))
def test_any_cluster_in_any_order(drawn: list[dict], chance: random.Random, threshold: float) -> None:
    rows = [row(index, **fields) for index, fields in enumerate(drawn)]
    decisions = near_duplicates(rows, threshold)
    assert {one.place: one.reason for one in decisions} == brute_gone(rows, DuplicateSettings(similarity=threshold))
    again = rows + chance.choices(rows, k=3) if rows else []
    chance.shuffle(again)
    assert near_duplicates(again, threshold) == decisions


def hot_cluster(rows: int, seed: int = 0) -> list[DuplicateRow]:
    """Half of it one picture in slight variants, a third pairs, some equal, the rest all different; 64 numbers each."""
    chance = np.random.default_rng(seed)
    drawn = chance.standard_normal((rows, 64))
    half, pairs = rows // 2, rows // 6
    drawn[:half] = drawn[0] + chance.standard_normal((half, 64)) * 0.15
    drawn[half : half + pairs] = drawn[half + pairs : half + 2 * pairs] + chance.standard_normal((pairs, 64)) * 0.1
    drawn[-50:] = drawn[-1]
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return [
        row(number % 2000, unit=f"shard{number // 2000}", uid=f"{number}", vector=vector, similarity=vector[0])
        for number, vector in enumerate(drawn)
    ]


def test_a_hot_cluster_ends_in_bounded_memory() -> None:
    rows = hot_cluster(20_000)
    tracemalloc.start()
    decisions = near_duplicates(rows, 0.94)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Its pairs would be 1,600 MB in float32; its own vectors in float32 are 5 MB.
    assert peak < 100e6
    kept = {one.place for one in rows} - {one.place for one in decisions}
    by_uid = {one.uid: one for one in rows}
    assert len(kept) == 1 + (20_000 // 2 - 20_000 // 6 - 50) + 1
    named = [re.search(r"cosine [\d.]+ to (\d+), row", one.detail).group(1) for one in decisions]
    assert {by_uid[uid].place for uid in named} <= kept
    place_uid = {one.place: one for one in rows}
    for decision, uid in zip(decisions, named, strict=True):
        assert place_uid[decision.place].similarity <= by_uid[uid].similarity
    random.Random(1).shuffle(rows)
    assert near_duplicates(rows, 0.94) == decisions
