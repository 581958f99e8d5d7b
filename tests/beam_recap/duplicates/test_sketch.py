"""Short forms promise too much, never too little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_recap.duplicates.sketch import choose_width, principal_directions, short_error, shorten


def units(rows: int, dimensions: int, seed: int, beside: float = 1.0) -> np.ndarray:
    """Unit vectors around one direction, or around none."""
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((rows, dimensions)) / np.arange(1, dimensions + 1) ** 0.5
    drawn *= beside
    drawn[:, 0] += 1
    drawn = drawn @ np.linalg.qr(random.standard_normal((dimensions, dimensions)))[0]
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([20, 64, 300]),
    st.sampled_from([1e-6, 1e-3, 0.05, 1, 100]),
    st.sampled_from([2, 3, 16, 19]),
)
def test_products_of_short_forms_are_upper_bounds(seed: int, dimensions: int, beside: float, width: int) -> None:
    vectors = units(80, dimensions, seed, beside)
    basis = principal_directions(vectors[:40])
    np.testing.assert_allclose(basis.T @ basis, np.eye(dimensions), atol=1e-12)
    short = shorten(vectors, basis[:, : width - 1])
    assert short.shape == (80, width) and short.dtype == np.float32
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    assert ((short @ short.T).astype(np.float64) >= cosines - short_error(width)).all()


def test_short_forms_tell_most_pairs_apart() -> None:
    vectors = units(500, 256, 0)
    cosines = vectors @ vectors.T
    short = shorten(vectors, principal_directions(vectors)[:, :63])
    far = cosines < 0.94
    assert np.mean((short @ short.T)[far] < 0.94) > 0.99


def test_a_short_form_is_taken_where_it_pays() -> None:
    vectors = units(500, 256, 0)
    everything = np.ones((500, 500), bool)
    assert choose_width(vectors, principal_directions(vectors), everything, 0.94, 1024) in (16, 32, 64, 96)
    crowded = units(500, 256, 0, beside=0.01)
    assert choose_width(crowded, principal_directions(crowded), everything, 0.94, 1024) is None


@pytest.mark.parametrize("dimensions", [2, 16])
def test_short_vectors_have_no_shorter_form(dimensions: int) -> None:
    vectors = units(50, dimensions, 0)
    everything = np.ones((50, 50), bool)
    assert choose_width(vectors, principal_directions(vectors), everything, 0.94, 1024) is None
