"""Cosines are exact, whatever the order of the sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.duplicate_rows import exact_cosine

from beam_recap.duplicates.cosines import Vectors


def halves(rows: int, dimensions: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dimensions))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("dimensions", [2, 33, 512, 1024])
def test_pairs_and_tables_are_exact(dimensions: int) -> None:
    half = halves(24, dimensions)
    vectors = Vectors(half)
    everything = np.arange(24)
    expected = [[exact_cosine(left.tolist(), right.tolist()) for right in half] for left in half]
    assert vectors.cosine_table(everything, everything).tolist() == expected
    left, right = np.divmod(np.arange(24 * 24), 24)
    assert vectors.cosines(left, right).reshape(24, 24).tolist() == expected
    assert np.diag(expected).tolist() == [1.0] * 24


def test_the_order_of_coordinates_and_rows_changes_no_bit() -> None:
    half = halves(300, 512)
    random = np.random.default_rng(1)
    table = Vectors(half).cosine_table(np.arange(300), np.arange(300))
    rows = random.permutation(300)
    turned = Vectors(np.ascontiguousarray(half[rows][:, random.permutation(512)]))
    part = turned.cosine_table(np.arange(7), np.arange(300))
    np.testing.assert_array_equal(part, table[rows[:7]][:, rows])


def test_fast_products_stay_within_their_bound() -> None:
    half = halves(600, 768)
    half[300:] = (half[:300].astype(np.float64) + halves(300, 768, seed=2) * 0.1).astype(np.float16)
    vectors = Vectors(half)
    units = vectors.units(np.arange(600))
    assert units.dtype == np.float32
    wrong = np.abs(units @ units.T - vectors.cosine_table(np.arange(600), np.arange(600)))
    assert wrong.max() <= vectors.unit_error < 1e-4


def test_only_a_finite_vector_with_a_length_is_usable() -> None:
    half = halves(5, 8)
    half[1], half[2, 3], half[3, 0] = 0, np.nan, np.inf
    assert Vectors(half).usable.tolist() == [True, False, False, False, True]
    assert len(Vectors(half[:0])) == 0


@pytest.mark.parametrize("factor", [0.25, 4, 1000])
def test_other_lengths_are_refused(factor: float) -> None:
    half = halves(3, 8)
    half[1] *= factor
    with pytest.raises(ValueError, match=f"unit length, but one has length {factor:g}|unit length, but one has length"):
        Vectors(half)


def test_an_exact_quotient_is_exact() -> None:
    half = np.array([[1, 0], [0.375, 0.5]], np.float16)  # 3, 4, 5
    assert Vectors(half).cosines(np.array([0]), np.array([1])).tolist() == [0.6]
    assert math.nextafter(0.6, 1) > 0.6
