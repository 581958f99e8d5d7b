"""Components of the graph of near duplicates, compared with brute force, on every way through the search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.duplicate_rows import brute_components, exact_cosine

from beam_recap.duplicates import components
from beam_recap.duplicates.components import cosine_components
from beam_recap.duplicates.cosines import Vectors
from beam_recap.duplicates.forest import Forest

COORDINATE = st.sampled_from([-1, -0.75, -0.375, 0, 0.25, 0.375, 0.5, 0.75, 1])
HALF = st.lists(COORDINATE, min_size=3, max_size=3).filter(lambda x: 0.3 < math.hypot(*x) ** 2 < 3 or not any(x))
# Nearly the same direction as (1, 0, 0): the last bits decide.
CLOSE = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda n: [1.0, n[0] * 2.0**-11, n[1] * 2.0**-11])


@pytest.fixture(params=["as it comes", "short forms", "short forms, pairs", "exact tables", "exact pairs"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forces one way through the search; none may change the result."""
    if request.param.startswith("short forms"):
        monkeypatch.setattr(components, "choose_width", lambda *_: 3)
    if request.param == "short forms, pairs":
        monkeypatch.setattr(components, "PAIR_COST", 0)
    if request.param == "exact tables":
        monkeypatch.setattr(components, "_EXACT_PAIR_COST", 1e9)
    if request.param == "exact pairs":
        monkeypatch.setattr(components, "_EXACT_PAIR_COST", 0)
    return request.param


def labels(vectors: list[list[float]] | np.ndarray, threshold: float, block: int = 1024) -> list[int]:
    return cosine_components(Vectors(np.array(vectors, np.float16)), threshold, block=block).tolist()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_small_graph(data: st.DataObject) -> None:
    vectors = data.draw(st.lists(st.one_of(HALF, CLOSE), min_size=1, max_size=24))
    cosines = {exact_cosine(one, other) for one in vectors for other in vectors} - {None}
    positive = sorted(cosine for cosine in cosines if cosine > 0.05) or [0.94]
    exactly = data.draw(st.sampled_from(positive))  # a cosine that occurs, and the next numbers beside it
    threshold = min(1.0, data.draw(st.sampled_from([exactly, math.nextafter(exactly, 2), math.nextafter(exactly, 0)])))
    expected = brute_components(vectors, threshold)
    for block in (1, 2, 1024):
        assert labels(vectors, threshold, block) == expected


def made(rows: int, dimensions: int, seed: int) -> np.ndarray:
    """Pictures with near duplicates, chains of them, equal ones, and ones without direction."""
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((rows, dimensions))
    for index in range(1, rows):
        if random.random() < 0.5:
            drawn[index] = drawn[random.integers(index)] + random.standard_normal(dimensions) * 0.35
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    half = drawn.astype(np.float16)
    half[random.integers(0, rows, rows // 10)] = half[random.integers(0, rows)]
    half[random.integers(0, rows, 3)] = [[0.0], [np.nan], [np.inf]]
    return half


@pytest.mark.parametrize("seed", range(3))
def test_blocks_and_short_cuts_change_nothing(way: str, seed: int) -> None:
    half = made(150, 24, seed)
    expected = brute_components(half.tolist(), 0.94)
    assert 20 < len(set(expected)) < 140
    for block in (1, 7, 16, 64, 1000):
        assert labels(half, 0.94, block) == expected, (way, block)


def test_thresholds_that_are_reached_exactly(way: str) -> None:
    """The cosine of a pair that alone joins two components links them; the next number does not."""
    half = made(100, 24, 5)
    half = half[Vectors(half).usable]
    cosines = Vectors(half).cosine_table(np.arange(len(half)), np.arange(len(half)))
    forest, joining = Forest(len(half)), []
    for pair in np.argsort(-cosines, axis=None, kind="stable"):
        left, right = np.divmod([pair], len(half))
        if forest.find(left) != forest.find(right):
            forest.unite(left, right)
            joining.append(cosines.flat[pair])
    for cosine in (float(cosine) for cosine in joining[20:60:10] if cosine < 1):
        found = [labels(half, threshold, 8) for threshold in (cosine, math.nextafter(cosine, 2))]
        assert found == [brute_components(half.tolist(), one) for one in (cosine, math.nextafter(cosine, 2))], way
        assert len(set(found[0])) == len(set(found[1])) - 1


def test_many_pairs_on_the_threshold(way: str) -> None:
    """Equally long parts at right angles beside a common one: every pair has the same cosine, 0.8 or a bit off."""
    half = np.zeros((40, 64), np.float16)
    half[:, 0] = 1
    half[np.arange(40), 1 + np.arange(40)] = 0.5
    cosine = exact_cosine(half[0].tolist(), half[1].tolist())
    assert cosine == 0.8
    assert labels(half, cosine, 8) == [0] * 40
    assert labels(half, math.nextafter(cosine, 2), 8) == list(range(40))
    half[7, 8] = np.nextafter(np.float16(0.5), np.float16(1))  # farther from all others
    assert labels(half, cosine, 8) == [0] * 7 + [7] + [0] * 32


def test_chains_are_one_component(way: str) -> None:
    angles = np.radians(np.arange(0, 90, 1.5))
    half = np.zeros((60, 20), np.float16)
    half[:, 3], half[:, 11] = np.cos(angles), np.sin(angles)
    shuffled = half[np.random.default_rng(0).permutation(60)]
    assert labels(shuffled, math.cos(math.radians(1.6)), 8) == [0] * 60
    assert labels(shuffled, math.cos(math.radians(1.4)), 8) == list(range(60))


def test_what_has_no_direction_is_alone(way: str) -> None:
    half = np.zeros((12, 20), np.float16)
    half[:, 0] = 1
    half[3:6] = 0
    half[6:9, 1] = np.nan
    half[9:11, 1] = np.inf
    assert labels(half, 0.01, 2) == [0, 0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    assert labels(half[3:9], 0.01) == [0, 1, 2, 3, 4, 5]
    assert labels(half[:0], 0.5) == []


@pytest.mark.parametrize("signs", [1, -1])
def test_opposites_are_no_duplicates(signs: int) -> None:
    vectors = [[1, 0.0, -0.0], [signs, -0.0, 0.0]]
    assert labels(vectors, 1.0) == ([0, 0] if signs == 1 else [0, 1])


def test_the_order_of_vectors_changes_no_component() -> None:
    half = made(3000, 64, 11)
    half = half[Vectors(half).usable]
    count = len(half)
    found = np.array(labels(half, 0.94, 128))
    order = np.random.default_rng(1).permutation(count)
    shuffled = np.array(labels(half[order], 0.94, 200))
    pairs = set(zip(found[order].tolist(), shuffled.tolist(), strict=True))
    assert len(pairs) == len(set(found.tolist())) == len(set(shuffled.tolist())) > 1000  # one to one
    cosines = Vectors(half).cosine_table(np.arange(count), np.arange(count))
    assert not ((cosines >= 0.94) & (found[:, None] != found[None, :])).any()
