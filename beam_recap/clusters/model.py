"""`ClusterModel`: embeddings to cluster labels, by a PCA and K-means centroids."""

from __future__ import annotations

import numpy as np

from beam_recap.clusters.nearest import MAX_CENTROID, Metric, NearestCentroid
from beam_recap.clusters.projection import Projection


class ClusterModelError(ValueError):
    """A model that cannot be used; the message is one sentence."""


class ClusterModel:
    """Labels embeddings with their nearest centroid's number.

    Args:
      centroids: floats ``[k, d]``; float64 ones are rounded to float32, which K-means computes in.
      mean: of a PCA, ``[D]``: scikit-learn's ``mean_``. None without a PCA; then D is d.
      components: of a PCA, ``[d, D]``: scikit-learn's ``components_``, not whitened.
      metric: what nearest means.
      normalise: divide embeddings by their length first; see `Projection`.

    Raises:
      ClusterModelError: shapes that do not agree, or numbers that are not finite or beyond 1e15.
    """

    def __init__(
        self,
        centroids: np.ndarray,
        mean: np.ndarray | None = None,
        components: np.ndarray | None = None,
        *,
        metric: Metric = Metric.L2,
        normalise: bool = False,
    ):
        if (mean is None) != (components is None):
            raise ClusterModelError("a PCA needs both its mean and its components")
        if centroids.ndim != 2 or not all(centroids.shape):
            raise ClusterModelError(f"centroids are [clusters, dimensions], and these are {list(centroids.shape)}")
        if mean is not None and components is not None:
            if mean.ndim != 1 or components.ndim != 2 or components.shape[1] != len(mean) or not len(mean):
                raise ClusterModelError(
                    f"a PCA's mean is [numbers] and its components are [dimensions, numbers], and these are "
                    f"{list(mean.shape)} and {list(components.shape)}"
                )
            if len(components) != centroids.shape[1]:
                raise ClusterModelError(
                    f"the PCA gives {len(components)} dimensions and the centroids have {centroids.shape[1]}"
                )
            mean, components = mean.astype(np.float64), components.astype(np.float64)
        for name, array in (("mean", mean), ("components", components), ("centroids", centroids)):
            if array is not None and not (np.abs(array) <= MAX_CENTROID).all():
                raise ClusterModelError(f"the {name} hold numbers that are not finite or beyond {MAX_CENTROID:g}")
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.metric = Metric(metric)
        self.projection = Projection(mean, components, normalise)
        self._nearest = NearestCentroid(self.centroids, self.metric)

    @property
    def clusters(self) -> int:
        """k: labels are 0 to k - 1."""
        return len(self.centroids)

    @property
    def width(self) -> int:
        """D, the numbers of an embedding."""
        mean = self.projection.mean
        return self.centroids.shape[1] if mean is None else len(mean)

    def assign(self, embeddings: np.ndarray) -> np.ndarray:
        """The label of each embedding, the same whatever others come with it and on any number of threads.

        Args:
          embeddings: finite floats ``[N, D]``. The labels of a run's rows are those of its embedding files, which are
            float16: before rounding, a row between two clusters may go to the other.

        Returns:
          int64 ``[N]``, each in [0, k): the nearest centroid in L2 (or that of the greatest dot product) after the
          PCA, of equals the smallest.

        Raises:
          ValueError: another width, or numbers that are not finite or too large for float16; the message names the
            row.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.width:
            raise ValueError(f"embeddings of {list(embeddings.shape)}, where this model takes [rows, {self.width}]")
        return self._nearest.labels(self.projection.features(embeddings))

    def label_features(self, features: np.ndarray) -> np.ndarray:
        """`assign` for what `Projection.features` gave: float16 ``[N, d]`` to int64 ``[N]``."""
        return self._nearest.labels(features)
