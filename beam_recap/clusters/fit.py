"""Fits a cluster model on embeddings of any number, in bounded memory: PCA, features, K-means."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from beam_recap import __version__
from beam_recap.clusters.embedding_files import EmbeddingFiles, EmbeddingsError
from beam_recap.clusters.fit_kmeans import KMeansResult, fit_kmeans
from beam_recap.clusters.fit_pca import fit_pca
from beam_recap.clusters.model import ClusterModel
from beam_recap.clusters.projection import Projection
from beam_recap.clusters.row_sample import RowSample
from beam_recap.clusters.settings import ClusterSettings
from beam_recap.flag import ConfigError

_LOG = logging.getLogger("beam_recap.clusters")
_PACKAGES = ("faiss-cpu", "scikit-learn", "scipy", "numpy")
_ROWS_FOR_FIT, _ROWS_FOR_KMEANS = 1, 2  # purposes of drawing
_MAX_POINTS = 2**31 - 1  # faiss numbers points with 32 bits
_FLOAT16_BYTES = 2
_CHUNK_ROWS = 65_536


def check(settings: ClusterSettings, embeddings: EmbeddingFiles) -> None:
    """Raises `ConfigError` for rows that these settings cannot be fitted on."""
    rows = min(embeddings.rows, settings.max_rows or embeddings.rows)
    dimensions = settings.pca_dimensions
    if dimensions is not None:
        if dimensions > embeddings.width:
            problem = f"is more than the {embeddings.width} numbers of an embedding; give at most as many, or none"
            raise ConfigError("pca_dimensions", dimensions, problem)
        if rows < max(dimensions, 2):
            raise ConfigError("pca_dimensions", dimensions, f"needs as many rows, and there are {rows:,}; give fewer")
    needed = settings.clusters * settings.min_points
    if rows < needed:
        problem = (
            f"needs {needed:,} rows with --min_points={settings.min_points}, and there are {rows:,}; give fewer "
            f"clusters, or a smaller --min_points"
        )
        raise ConfigError("clusters", settings.clusters, problem)
    if _points(settings, rows) > _MAX_POINTS:
        problem = f"lets K-means take {_points(settings, rows):,} rows, more than {_MAX_POINTS:,}; give a smaller one"
        raise ConfigError("max_points", settings.max_points, problem)
    place = settings.temporary_folder or tempfile.gettempdir()
    size = _points(settings, rows) * (dimensions or embeddings.width) * _FLOAT16_BYTES
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise ConfigError("temporary_folder", place, f"cannot be used ({error.strerror}); give another") from None
    if size > free:
        problem = f"needs {size / 1e9:.1f} GB for features, and {free / 1e9:.1f} GB are free; give another"
        raise ConfigError("temporary_folder", place, problem)


def fit(settings: ClusterSettings, embeddings: EmbeddingFiles) -> tuple[ClusterModel, dict[str, Any]]:
    """Fits a model.

    Deterministic: the same rows, in whatever files, give the same model with the same number of threads on the same
    kind of machine; the rows' order is that of the files' paths. Embeddings are read twice, or once without a PCA. The
    features that K-means takes wait in a temporary file of ``--temporary_folder``, which is gone with this process,
    however it ends.

    Args:
      settings: `check` has found no fault with them.
      embeddings: what to fit on.

    Returns:
      The model, and what its manifest says of how it was made.

    Raises:
      EmbeddingsError: a row that is not finite, or whose features are beyond float16; files that changed meanwhile.
    """
    used = RowSample(embeddings.rows, settings.max_rows or embeddings.rows, settings.seed, _ROWS_FOR_FIT)
    mean = components = share = digest = None
    dimensions = settings.pca_dimensions
    if dimensions is not None:
        _LOG.info("PCA: %s rows, %d to %d numbers", f"{used.rows:,}", embeddings.width, dimensions)
        read = hashlib.sha256()
        blocks = embeddings.read(used, read)
        prepare = Projection(normalise=settings.normalise).prepare
        mean, components, share = fit_pca(blocks, used.rows, dimensions, settings.pca_batch_rows, prepare)
        digest = read.hexdigest()
    projection = Projection(mean, components, settings.normalise)
    points = RowSample(used.rows, _points(settings, used.rows), settings.seed, _ROWS_FOR_KMEANS)
    shape = (points.rows, dimensions or embeddings.width)
    with _temporary_array(shape, settings.temporary_folder) as features:
        again = hashlib.sha256()
        _fill(features, projection, points, embeddings.read(used, again))
        if digest not in (None, again.hexdigest()):
            raise EmbeddingsError(f"{embeddings.files[0].path} or another file changed while it was read")
        _LOG.info("K-means: %s rows, %d clusters, %d starts", f"{points.rows:,}", settings.clusters, settings.redo)
        result = fit_kmeans(
            features,
            settings.clusters,
            iterations=settings.iterations,
            redo=settings.redo,
            seed=settings.seed,
            min_points=settings.min_points,
            max_points=settings.max_points,
            threads=settings.threads,
        )
        model = ClusterModel(result.centroids, mean, components, metric=settings.metric, normalise=settings.normalise)
        sizes = _sizes(model, features)
    return model, {
        "embeddings": {
            "rows": embeddings.rows,
            "width": embeddings.width,
            "max_rows": settings.max_rows,
            "rows_used": used.rows,
            "sha256": again.hexdigest(),  # of the used rows' bytes, in order
        },
        "pca": None
        if dimensions is None
        else {
            "dimensions": dimensions,
            "batch_rows": settings.pca_batch_rows,
            "explained_variance_ratio": share,
        },
        "kmeans": _kmeans_facts(settings, points.rows, result),
        "cluster_sizes": _summary(sizes),
        "packages": {"beam-recap": __version__} | {name: version(name) for name in _PACKAGES},
    }


def _points(settings: ClusterSettings, rows: int) -> int:
    return min(rows, settings.clusters * settings.max_points)


def _fill(features: np.ndarray, projection: Projection, points: RowSample, blocks: Iterator[np.ndarray]) -> None:
    """Writes the features of the points among the used rows."""
    row = filled = 0
    for block in blocks:
        chosen = block[points.mask(row, row + len(block))]
        try:
            features[filled : filled + len(chosen)] = projection.features(chosen)
        except ValueError as error:
            raise EmbeddingsError(f"among the used rows from number {row:,}, {error}") from error
        filled += len(chosen)
        row += len(block)


@contextmanager
def _temporary_array(shape: tuple[int, int], folder: str | None) -> Iterator[np.ndarray]:
    """float16 numbers in a file without a name: the system can put them aside, and they are gone with the process."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield np.memmap(file, np.float16, "w+", shape=shape)


def _sizes(model: ClusterModel, features: np.ndarray) -> np.ndarray:
    """Rows of each cluster: int64 ``[k]``."""
    sizes = np.zeros(model.clusters, np.int64)
    for start in range(0, len(features), _CHUNK_ROWS):
        labels = model.label_features(features[start : start + _CHUNK_ROWS])
        sizes += np.bincount(labels, minlength=model.clusters)
    return sizes


def _kmeans_facts(settings: ClusterSettings, rows: int, result: KMeansResult) -> dict[str, Any]:
    names = ("clusters", "iterations", "redo", "seed", "min_points", "max_points")
    return {
        **{name: getattr(settings, name) for name in names},
        "threads": result.threads,
        "spherical": False,
        "rows": rows,
        # The sum of squared distances to the nearest centroid before the last iteration; of each start.
        "objective": None if result.objectives is None else min(result.objectives),
        "objectives": result.objectives,
    }


def _summary(sizes: np.ndarray) -> dict[str, Any]:
    quantiles = np.quantile(sizes, (0.25, 0.5, 0.75))
    return {
        "smallest": int(sizes.min()),
        "quartiles": [float(value) for value in quantiles],
        "largest": int(sizes.max()),
        "empty": int((sizes == 0).sum()),
    }
