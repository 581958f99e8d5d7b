"""`ClusterModel`: labels after a PCA, and models that do not fit together."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from support.embeddings import blobs
from threadpoolctl import threadpool_limits

from beam_recap.clusters.model import ClusterModel, ClusterModelError
from beam_recap.clusters.nearest import Metric

ROWS, CENTRES = blobs(600, 24)
SKLEARN = PCA(6).fit(ROWS.astype(np.float64))
FEATURES = SKLEARN.transform(ROWS.astype(np.float64)).astype(np.float16)
CENTROIDS = FEATURES[:9].astype(np.float32)
MODEL = ClusterModel(CENTROIDS, SKLEARN.mean_, SKLEARN.components_)


def test_labels_are_faisss_after_scikit_learns_pca() -> None:
    index = faiss.IndexFlatL2(6)
    index.add(CENTROIDS)
    labels = MODEL.assign(ROWS)
    assert np.array_equal(labels, index.search(FEATURES.astype(np.float32), 1)[1].ravel())
    assert labels.dtype == np.int64 and len(set(labels)) > 3
    assert (MODEL.clusters, MODEL.width) == (9, 24)
    assert np.array_equal(MODEL.label_features(FEATURES), labels)


def test_without_a_pca_and_by_dot_product() -> None:
    centroids = ROWS[:50].astype(np.float32)
    rows = ROWS.astype(np.float32)
    model = ClusterModel(centroids, metric=Metric.DOT)
    assert np.array_equal(model.assign(ROWS), (rows @ centroids.T).argmax(axis=1))
    assert (model.clusters, model.width) == (50, 24)
    assert np.array_equal(ClusterModel(centroids).assign(ROWS[:50]), np.arange(50))


@given(st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=30), st.sampled_from([1, 2, 4]))
@settings(deadline=None)
def test_a_rows_label_does_not_depend_on_the_others(rows: list[int], threads: int) -> None:
    with threadpool_limits(limits=threads):
        assert np.array_equal(MODEL.assign(ROWS[rows]), MODEL.assign(ROWS)[rows])


def test_normalising_makes_length_meaningless() -> None:
    model = ClusterModel(ROWS[:9].astype(np.float32), normalise=True)
    assert np.array_equal(model.assign(ROWS * np.float16(4)), model.assign(ROWS))


def test_no_rows() -> None:
    assert MODEL.assign(ROWS[:0]).shape == (0,)


@pytest.mark.parametrize("rows", [ROWS[0], ROWS[:, :6], ROWS[None]])
def test_rows_of_another_shape(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"where this model takes \[rows, 24\]"):
        MODEL.assign(rows)


def test_rows_that_are_not_finite_are_named() -> None:
    rows = ROWS.copy()
    rows[77, 3] = np.inf
    with pytest.raises(ValueError, match="row 77 is not finite"):
        MODEL.assign(rows)


NAN = np.full((9, 6), np.nan)


@pytest.mark.parametrize(
    ("centroids", "mean", "components", "problem"),
    [
        (CENTROIDS[0], None, None, r"centroids are \[clusters, dimensions\], and these are \[6\]"),
        (CENTROIDS[:0], None, None, r"these are \[0, 6\]"),
        (CENTROIDS[:, :0], None, None, r"these are \[9, 0\]"),
        (NAN, None, None, "centroids hold numbers that are not finite or beyond 1e\\+15"),
        (CENTROIDS * np.float32(1e20), None, None, "centroids hold numbers that are not finite or beyond"),
        (CENTROIDS, SKLEARN.mean_, None, "needs both"),
        (CENTROIDS, None, SKLEARN.components_, "needs both"),
        (CENTROIDS, SKLEARN.mean_[:5], SKLEARN.components_, r"these are \[5\] and \[6, 24\]"),
        (CENTROIDS, SKLEARN.mean_[None], SKLEARN.components_, r"these are \[1, 24\] and"),
        (CENTROIDS, SKLEARN.mean_, SKLEARN.components_[:5], "gives 5 dimensions and the centroids have 6"),
        (CENTROIDS, SKLEARN.mean_ * np.nan, SKLEARN.components_, "the mean hold numbers"),
        (CENTROIDS, SKLEARN.mean_, SKLEARN.components_ * np.inf, "the components hold numbers"),
    ],
)
def test_models_that_do_not_fit_together(
    centroids: np.ndarray, mean: np.ndarray | None, components: np.ndarray | None, problem: str
) -> None:
    with pytest.raises(ClusterModelError, match=problem):
        ClusterModel(centroids, mean, components)
