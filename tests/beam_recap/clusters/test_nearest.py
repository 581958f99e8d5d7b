"""Nearest centroids: those of a brute force in float64, for any batch and on any number of threads."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from beam_recap.clusters import nearest, steady_sums
from beam_recap.clusters.nearest import Metric, NearestCentroid

RANDOM = np.random.default_rng(0)


def brute_force(features: np.ndarray, centroids: np.ndarray, metric: Metric) -> np.ndarray:
    labels = []
    for row in features.astype(np.float64):
        terms = (row - centroids.astype(np.float64)) ** 2 if metric == Metric.L2 else -row * centroids.astype(float)
        labels.append(int(np.cumsum(terms, axis=1)[:, -1].argmin()))
    return np.array(labels)


def near_ties(rows: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and centroids in pairs that are nearly as far from one of the rows, to float32's last bits."""
    features = RANDOM.standard_normal((rows, dimensions)).astype(np.float16)
    steps = RANDOM.standard_normal((rows, dimensions)).astype(np.float32) / 8
    exact = features.astype(np.float32)
    return features, np.concatenate([exact + steps, exact - steps])


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize(("rows", "clusters", "dimensions"), [(300, 40, 16), (300, 1, 3), (7, 500, 1), (200, 64, 256)])
def test_as_a_brute_force_and_as_faiss(metric: Metric, rows: int, clusters: int, dimensions: int) -> None:
    features = RANDOM.standard_normal((rows, dimensions)).astype(np.float16)
    centroids = RANDOM.standard_normal((clusters, dimensions)).astype(np.float32)
    labels = NearestCentroid(centroids, metric).labels(features)
    assert labels.dtype == np.int64
    assert np.array_equal(labels, brute_force(features, centroids, metric))
    index = (faiss.IndexFlatL2 if metric == Metric.L2 else faiss.IndexFlatIP)(dimensions)
    index.add(centroids)
    if dimensions > 1:  # no two are nearly as near
        assert np.array_equal(labels, index.search(features.astype(np.float32), 1)[1].ravel())


@pytest.mark.parametrize("metric", list(Metric))
def test_near_ties_do_not_depend_on_the_batch_or_on_threads(metric: Metric) -> None:
    features, centroids = near_ties(400, 96)
    if metric == Metric.DOT:
        features = np.repeat(features[:20], 20, axis=0)
        centroids = np.concatenate([centroids, np.nextafter(centroids, np.float32(np.inf))])
    finder = NearestCentroid(centroids, metric)
    labels = finder.labels(features)
    assert np.array_equal(labels, brute_force(features, centroids, metric))
    for size in (1, 3, 64):
        parts = [finder.labels(features[at : at + size]) for at in range(0, len(features), size)]
        assert np.array_equal(np.concatenate(parts), labels)
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads):
            assert np.array_equal(finder.labels(features), labels)


SMALL = st.integers(-3, 3)  # ties everywhere


@given(st.data(), st.sampled_from(list(Metric)))
@settings(deadline=None)
def test_ties_go_to_the_smallest_label(data: st.DataObject, metric: Metric) -> None:
    dimensions = data.draw(st.integers(1, 4))
    vectors = st.lists(SMALL, min_size=dimensions, max_size=dimensions)
    centroids = np.array(data.draw(st.lists(vectors, min_size=1, max_size=8)), np.float32)
    features = np.array(data.draw(st.lists(vectors, min_size=1, max_size=12)), np.float16)
    finder = NearestCentroid(centroids, metric)
    labels = finder.labels(features)
    assert np.array_equal(labels, brute_force(features, centroids, metric))
    order = data.draw(st.permutations(range(len(features))))
    cut = data.draw(st.integers(0, len(features)))
    parts = [finder.labels(features[list(part)]) for part in (order[:cut], order[cut:])]
    assert np.array_equal(np.concatenate(parts), labels[list(order)])


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e15])
@pytest.mark.parametrize("metric", list(Metric))
def test_centroids_of_any_size(scale: float, metric: Metric) -> None:
    centroids = (np.clip(RANDOM.standard_normal((30, 8)), -1, 1) * scale).astype(np.float32)
    features = np.concatenate(
        [RANDOM.standard_normal((50, 8)), np.zeros((2, 8)), np.full((1, 8), 65504), np.full((1, 8), 6e-8)]
    ).astype(np.float16)
    assert np.array_equal(NearestCentroid(centroids, metric).labels(features), brute_force(features, centroids, metric))


def test_parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    features, centroids = near_ties(50, 12)
    centroids = np.concatenate([centroids, centroids])
    whole = NearestCentroid(centroids, Metric.L2).labels(features)
    assert whole.max() < 100
    monkeypatch.setattr(nearest, "_CHUNK_NUMBERS", 1)
    monkeypatch.setattr(steady_sums, "_CHUNK_NUMBERS", 1)
    assert np.array_equal(NearestCentroid(centroids, Metric.L2).labels(features), whole)
    assert NearestCentroid(centroids, Metric.L2).labels(features[:0]).shape == (0,)
