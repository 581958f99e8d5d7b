"""Fits K-means on features, by faiss."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from beam_recap.progress import PERIOD_S

_LOG = logging.getLogger("beam_recap.clusters")
# faiss's own step from one start's seed to the next (Clustering.cpp); seeds stay below 2**31 by the flags' ranges.
_SEED_STEP = 15_486_557
# Up to this many bytes in float32, features are decoded once and not in each iteration, which is a few times faster
# where clusters are few.
_DECODED_BYTES = 2 << 30
_ROWS_MULTIPLIED_AT_ONCE = 4_096  # by faiss (distance_compute_blas_query_bs)


@dataclass(frozen=True, slots=True)
class KMeansResult:
    """Centroids float32 ``[k, d]``, and the sum of squared distances at the last iteration of each start.

    The centroids are those of the start with the smallest; None where the points are the centroids. ``threads`` is how
    many there were.
    """

    centroids: np.ndarray
    objectives: list[float] | None
    threads: int


def fit_kmeans(
    features: np.ndarray,
    clusters: int,
    *,
    iterations: int,
    redo: int,
    seed: int,
    min_points: int,
    max_points: int,
    threads: int | None = None,
    decoded_bytes: int = _DECODED_BYTES,
) -> KMeansResult:
    """Centroids as of ``faiss.Kmeans(d, k, niter, nredo, seed, min_points_per_centroid, max_points_per_centroid)``.

    The same features and number of threads give the same bytes on the same machine. Another number does not: faiss's
    distances are float32 matrix products, whose last bits depend on how they are shared out, and a row that lies
    between two clusters can go to the other.

    Distances are L2, and centroids are not normalised. A cluster that empties is refilled as faiss does it, with half
    of a large one; a start whose objective no longer changes is over. Memory: the features themselves, which may be a
    file's memory map, 16 bytes a row, and ``decoded_bytes`` at most.

    Args:
      features: float16 ``[N, d]``, finite; N >= clusters, and at most ``clusters * max_points``.
      clusters: k.
      iterations: of each start.
      redo: starts, of which the best counts.
      seed: 0 to 10**9.
      min_points: fewer rows per cluster make faiss warn; the caller has looked.
      max_points: more rows per cluster would make faiss draw some.
      threads: how many; None: as many as faiss would take.
      decoded_bytes: decode features once where that takes no more.
    """
    import faiss

    usual = faiss.omp_get_max_threads()
    threads = threads or usual
    if len(features) == clusters:  # faiss copies them
        return KMeansResult(features.astype(np.float32), None, threads)
    settings = {"min_points_per_centroid": min_points, "max_points_per_centroid": max_points}
    points = features
    if features.size * 4 <= decoded_bytes:
        points = features.astype(np.float32)
    best: np.ndarray | None = None
    objectives: list[float] = []
    with _Progress(redo, iterations) as progress, contextlib.ExitStack() as after:
        faiss.omp_set_num_threads(threads)
        after.callback(faiss.omp_set_num_threads, usual)
        # One start at a time, which is what faiss does within a call, so that progress can be told.
        for start in range(redo):
            parameters = {**settings, "niter": iterations, "nredo": 1, "seed": seed + start * _SEED_STEP}
            centroids, objective = _train(points, clusters, parameters, progress)
            if best is None or objective < min(objectives):
                best = centroids
            objectives.append(objective)
    assert best is not None
    return KMeansResult(best, objectives, threads)


def _train(
    points: np.ndarray, clusters: int, parameters: dict[str, int], progress: _Progress
) -> tuple[np.ndarray, float]:
    """One start: its centroids, and the objective before its last iteration."""
    import faiss

    dimensions = points.shape[1]
    clustering = faiss.Clustering(dimensions, clusters, _parameters(parameters, len(points)))
    index = faiss.IndexFlatL2(dimensions)
    # Room for all, so that nothing moves while the other thread looks.
    clustering.iteration_stats.resize(parameters["niter"])
    clustering.iteration_stats.clear()
    progress.next_start(lambda: clustering.iteration_stats.size())
    if points.dtype == np.float32:
        clustering.train(points, index)
    else:
        codec = faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_fp16)
        clustering.train_encoded(points.view(np.uint8), codec, index)
    found = faiss.vector_float_to_array(clustering.centroids).reshape(clusters, dimensions)
    stats = clustering.iteration_stats
    return found, float(stats.at(stats.size() - 1).obj)


class _Progress:
    """Logs a line every few seconds while it is entered, from a thread of its own."""

    def __init__(self, starts: int, iterations: int):
        self._line = f"K-means: start %d of {starts}, iteration %d of {iterations}"
        self._now: tuple[int, Callable[[], int]] = (0, lambda: 0)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def next_start(self, iterations_done: Callable[[], int]) -> None:
        self._now = (self._now[0] + 1, iterations_done)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(PERIOD_S):
            start, iterations_done = self._now
            _LOG.info(self._line, start, iterations_done())


def _parameters(values: dict[str, int], rows: int) -> Any:
    import faiss

    parameters = faiss.ClusteringParameters()
    for name, value in values.items():
        setattr(parameters, name, value)
    # Features that are decoded in parts of 32,768 rows or a little more multiply as they would all at once, unless the
    # last part is so small that faiss computes its distances in another way.
    whole = rows // _ROWS_MULTIPLIED_AT_ONCE
    parts = next((parts for parts in range(8, 64) if whole % parts), 8)
    parameters.decode_block_size = parts * _ROWS_MULTIPLIED_AT_ONCE
    return parameters
