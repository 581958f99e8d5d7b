"""Fits a PCA on embeddings that come in batches, by scikit-learn's IncrementalPCA."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from beam_recap.progress import PERIOD_S

_LOG = logging.getLogger("beam_recap.clusters")


def fit_pca(
    blocks: Iterable[np.ndarray],
    rows: int,
    dimensions: int,
    batch_rows: int,
    prepare: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """A PCA, as ``IncrementalPCA(n_components=dimensions, batch_size=batch_rows).fit`` of all rows in float64.

    (That is what scikit-learn does with float16 rows.) About six times a batch is in memory. It runs on one thread, so
    that the result does not depend on how many there are; K-means takes far longer anyway.

    Args:
      blocks: the embeddings in order, arrays ``[n, D]``.
      rows: of all blocks together; at least ``dimensions``, and 2.
      dimensions: components to keep, at most D.
      batch_rows: rows to fit at a time; at least ``dimensions``.
      prepare: makes float64 ``[n, D]`` of a block.

    Returns:
      ``mean_`` float64 ``[D]``, ``components_`` float64 ``[dimensions, D]``, and the share of the variance that they
      keep, None where there is no variance.
    """
    from sklearn.decomposition import IncrementalPCA
    from sklearn.utils import gen_batches
    from threadpoolctl import threadpool_limits

    pca = IncrementalPCA(n_components=dimensions, batch_size=batch_rows)
    sizes = [part.stop - part.start for part in gen_batches(rows, batch_rows, min_batch_size=dimensions)]
    done, last = 0, time.monotonic()
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(divide="ignore", invalid="ignore"):
        for batch in _batches(blocks, sizes, prepare):
            pca.partial_fit(batch, check_input=False)  # as its fit does; the batch is used up
            done += len(batch)
            if time.monotonic() - last >= PERIOD_S:
                last = time.monotonic()
                _LOG.info("PCA: %s of %s rows", f"{done:,}", f"{rows:,}")
    share = float(np.sum(pca.explained_variance_ratio_))
    return pca.mean_, pca.components_, share if np.isfinite(share) else None


def _batches(
    blocks: Iterable[np.ndarray], sizes: Iterable[int], prepare: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """The blocks' rows again, in batches of the given sizes."""
    source = iter(blocks)
    block = np.empty((0, 0))
    for size in sizes:
        batch = None
        filled = 0
        while filled < size:
            if not len(block):
                block = prepare(next(source))
                continue
            if batch is None:
                batch = np.empty((size, block.shape[1]))
            part = block[: size - filled]
            batch[filled : filled + len(part)] = part
            block = block[len(part) :]
            filled += len(part)
        if batch is not None:
            yield batch
    # The source reads to its end, so that its digest covers all.
    for _ in source:
        pass
