"""Features: scikit-learn's, rounded to float16, and each row's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import IncrementalPCA

from beam_recap.clusters.projection import Projection

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.standard_normal((500, 48)).astype(np.float16)
PCA = IncrementalPCA(n_components=16, batch_size=100).fit(ROWS)
PROJECTION = Projection(PCA.mean_, PCA.components_)


def between_two_float16(rows: int, width: int, dimensions: int) -> tuple[Projection, np.ndarray]:
    """Embeddings whose features lie so close to the middle of two float16 that the order of summing decides."""
    components = RANDOM.standard_normal((dimensions, width))
    components[:, -dimensions:] = np.eye(dimensions)
    embeddings = RANDOM.standard_normal((rows, width))
    embeddings[:, -dimensions:] = 0
    sums = embeddings @ components.T
    below = sums.astype(np.float16)
    middle = (below.astype(float) + np.nextafter(below, np.float16(np.inf)).astype(float)) / 2
    embeddings[:, -dimensions:] = middle - sums
    return Projection(np.zeros(width), components), embeddings


def test_features_are_scikit_learns_in_float16() -> None:
    assert np.array_equal(PROJECTION.features(ROWS), PCA.transform(ROWS.astype(np.float64)).astype(np.float16))


def test_without_a_pca_they_are_the_embeddings_in_float16() -> None:
    assert np.array_equal(Projection().features(ROWS), ROWS)
    assert np.array_equal(
        Projection().features(ROWS.astype(np.float32) * 1.0001), (ROWS * np.float32(1.0001)).astype("f2")
    )


def test_normalising() -> None:
    rows = ROWS.copy()
    rows[7] = 0
    features = Projection(normalise=True).features(rows)
    lengths = np.linalg.norm(features.astype(float), axis=1)
    assert lengths[7] == 0 and np.abs(np.delete(lengths, 7) - 1).max() < 1e-3
    # Halving is exact, so that it changes nothing.
    assert np.array_equal(
        Projection(PCA.mean_, PCA.components_, True).features(rows / np.float16(2)),
        Projection(PCA.mean_, PCA.components_, True).features(rows),
    )


@given(st.lists(st.integers(0, len(ROWS) - 1), max_size=40), st.booleans())
@settings(deadline=None)
def test_a_rows_features_do_not_depend_on_the_others(rows: list[int], normalise: bool) -> None:
    projection = Projection(PCA.mean_, PCA.components_, normalise)
    assert np.array_equal(projection.features(ROWS[rows]), projection.features(ROWS)[rows])


def test_not_even_where_the_last_bit_decides() -> None:
    projection, embeddings = between_two_float16(1500, 120, 20)
    together = projection.features(embeddings)
    assert np.array_equal(together, np.concatenate([projection.features(row[None]) for row in embeddings]))
    assert np.array_equal(together, np.concatenate([projection.features(part) for part in np.split(embeddings, 15)]))
    one_by_one = np.cumsum(embeddings[:, None, :] * projection.components, axis=2)[..., -1]
    assert np.array_equal(together, one_by_one.astype(np.float16))


def test_no_rows_and_minus_nothing() -> None:
    assert PROJECTION.features(ROWS[:0]).shape == (0, 16)
    assert Projection().features(ROWS[:0]).shape == (0, 48)
    assert not np.signbit(Projection().features(np.array([[-0.0, 0.0]]))).any()


@pytest.mark.parametrize(
    ("value", "problem"),
    [(np.nan, "is not finite"), (np.inf, "is not finite"), (1e6, "has features too large for float16")],
)
@pytest.mark.parametrize("projection", [PROJECTION, Projection()])
def test_what_has_no_features(value: float, problem: str, projection: Projection) -> None:
    rows = ROWS.astype(np.float32)
    rows[123, :] = value
    if projection is PROJECTION and value == 1e6:
        rows[123] = 1e8 * PCA.components_[0]
    with pytest.raises(ValueError, match=f"row 123 {problem}"):
        projection.features(rows)
