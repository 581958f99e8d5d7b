"""The nearest of many centroids, the same for a row whatever rows come with it."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from beam_recap.clusters.steady_sums import FLOAT32_ROUNDING, FLOAT64_ROUNDING, sum_pairs

_CHUNK_NUMBERS = 1 << 22
_TINY = 2.0**-100  # for what may be lost of numbers too small for float32
# Far beyond any embedding, and their squares are still far from float32's end.
MAX_CENTROID = 1e15


class Metric(StrEnum):
    """What nearest means."""

    L2 = "l2"  # the smallest distance: the text-debiased dataset's labels, and K-means' own
    DOT = "dot"  # the greatest dot product: DataComp's image-based filter


class NearestCentroid:
    """Finds nearest centroids.

    A matrix product in float32 says which centroids can be nearest, given how wrong it can be; where that is more than
    one, their distances in float64, summed in the order of the dimensions, decide, and of equals the smallest label.
    So the label is always the one that those distances alone would give.

    Args:
      centroids: float32 ``[k, d]``, no number beyond 1e15.
      metric: what nearest means.
    """

    def __init__(self, centroids: np.ndarray, metric: Metric):
        self._centroids = centroids
        self._metric = metric
        squares = np.einsum("kd,kd->k", centroids, centroids, dtype=np.float64)
        self._longest = float(np.sqrt(squares.max()))
        # |x - c|^2 is smallest where x.c - |c|^2 / 2 is greatest.
        self._half_squares = (squares / 2).astype(np.float32) if metric == Metric.L2 else None

    def labels(self, features: np.ndarray) -> np.ndarray:
        """The label of each row.

        Args:
          features: float16 ``[N, d]``, finite.

        Returns:
          int64 ``[N]``, each in [0, k).
        """
        labels = np.empty(len(features), np.int64)
        step = max(1, _CHUNK_NUMBERS // max(self._centroids.shape))
        for start in range(0, len(features), step):
            part = slice(start, start + step)
            labels[part] = self._labels(features[part].astype(np.float32))
        return labels

    def _labels(self, rows: np.ndarray) -> np.ndarray:
        scores = rows @ self._centroids.T
        if self._half_squares is not None:
            scores -= self._half_squares
        best = scores.argmax(axis=1)
        floor = scores[np.arange(len(rows)), best] - 2 * self._uncertainty(rows)
        floor = np.nextafter(floor.astype(np.float32), np.float32(-np.inf))
        possible = scores >= floor[:, None]
        unsure = np.flatnonzero(possible.sum(axis=1) > 1)
        if len(unsure):
            best[unsure] = self._decide(rows[unsure], possible[unsure])
        return best

    def _uncertainty(self, rows: np.ndarray) -> np.ndarray:
        """How far a score can be from the one in exact numbers, and that from the one in float64: float64 ``[N]``."""
        dimensions = rows.shape[1]
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
        # A sum of n products in any order: n roundings, each of at most the sum of the products' sizes.
        product = 1.01 * (dimensions + 8) * FLOAT32_ROUNDING * lengths * self._longest
        halves = 8 * FLOAT32_ROUNDING * self._longest**2
        decision = 4 * (dimensions + 8) * FLOAT64_ROUNDING * (lengths + self._longest) ** 2
        return product + halves + decision + (dimensions + 8) * _TINY

    def _decide(self, rows: np.ndarray, possible: np.ndarray) -> np.ndarray:
        row, label = np.nonzero(possible)  # by row, then by label
        distances = sum_pairs(
            lambda at, of: self._terms(rows[at].astype(np.float64), self._centroids[of].astype(np.float64)),
            row,
            label,
            rows.shape[1],
        )
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        smallest = np.minimum.reduceat(distances, starts)[row]
        winners = np.flatnonzero(distances == smallest)
        _, first = np.unique(row[winners], return_index=True)
        return label[winners[first]]

    def _terms(self, rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        return (rows - centroids) ** 2 if self._metric == Metric.L2 else -rows * centroids
