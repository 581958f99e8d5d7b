"""Disjoint sets, compared with sets of Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.duplicates.forest import Forest

SIZE = 24
EDGES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=40)


def lowest_members(size: int, edges: list[tuple[int, int]]) -> list[int]:
    sets = [{number} for number in range(size)]
    for left, right in edges:
        if sets[left] is not sets[right]:
            sets[left] |= sets[right]
            for member in sets[right]:
                sets[member] = sets[left]
    return [min(members) for members in sets]


@given(st.lists(EDGES, max_size=4))
def test_batches_of_edges_make_the_same_sets(batches: list[list[tuple[int, int]]]) -> None:
    forest = Forest(SIZE)
    for batch in batches:
        forest.unite(np.array([a for a, _ in batch], dtype=int), np.array([b for _, b in batch], dtype=int))
    assert forest.labels().tolist() == lowest_members(SIZE, list(itertools.chain.from_iterable(batches)))


@given(st.permutations(range(SIZE)), st.integers(1, SIZE - 1), st.data())
def test_edges_of_a_mask_make_the_same_sets(numbers: list[int], rows: int, data: st.DataObject) -> None:
    columns = SIZE - rows
    edges = data.draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)), max_size=30))
    mask = np.zeros((rows, columns), bool)
    for i, j in edges:
        mask[i, j] = True
    forest = Forest(SIZE)
    forest.unite_where(np.array(numbers[:rows]), np.array(numbers[rows:]), mask)
    assert forest.labels().tolist() == lowest_members(SIZE, [(numbers[i], numbers[rows + j]) for i, j in edges])


@pytest.mark.parametrize("order", ["up", "down", "shuffled"])
def test_long_chains_and_stars_end_quickly(order: str) -> None:
    numbers = np.arange(200_000)
    if order == "down":
        numbers = numbers[::-1].copy()
    if order == "shuffled":
        numbers = np.random.default_rng(0).permutation(numbers)
    chain, star = Forest(len(numbers)), Forest(len(numbers))
    chain.unite(numbers[:-1], numbers[1:])
    star.unite(np.full(len(numbers) - 1, numbers[0]), numbers[1:])
    assert not chain.labels().any() and not star.labels().any()
