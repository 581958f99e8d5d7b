"""`AssignCluster`: the cluster label of each embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from beam_recap.clusters import model_folder
from beam_recap.clusters.model import ClusterModel
from beam_recap.isolation import ModelFailure, run_isolated
from transforms.shared_models import shared_model

NAMESPACE = "AssignCluster"
_BATCH_ROWS = 1024
_EMBEDDING_TYPE = np.dtype("<f2")


class AssignCluster(beam.PTransform):
    """Labels embeddings by a cluster model.

    Input: pairs of any key and an embedding's bytes, float16 little-endian ``[D]``. Output: pairs of the key and the
    label, an int in [0, k), or None where the embedding is not finite or too large for the model.

    Args:
      model: folder of a cluster model, local or ``gs://``; see `beam_recap.clusters.model_folder`.
      batch_rows: rows labelled at a time; labels do not depend on it.

    Raises:
      ValueError: in the run, for an embedding of another width than the model's: all would be.

    Metrics: ``rows_labelled``, ``rows_unlabelled``.
    """

    def __init__(self, model: str, *, batch_rows: int = _BATCH_ROWS):
        super().__init__()
        self._model = model
        self._batch_rows = batch_rows

    def load(self) -> ClusterModel:
        """This process's model, as the workers will load it. Raises `ClusterModelError`."""
        return _load(self._model)

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        size = self._batch_rows
        return (
            rows
            # A fixed size: Beam's own estimate grows without bound where it cannot see the cost.
            | "Batch" >> beam.BatchElements(min_batch_size=size, max_batch_size=size)
            | "Assign" >> beam.ParDo(_AssignFn(self._model))
        )


def _load(folder: str) -> ClusterModel:
    return shared_model(("clusters", folder), lambda: model_folder.load(folder))


class _AssignFn(beam.DoFn):
    def __init__(self, folder: str):
        self._folder = folder
        self._labelled = beam.metrics.Metrics.counter(NAMESPACE, "rows_labelled")
        self._unlabelled = beam.metrics.Metrics.counter(NAMESPACE, "rows_unlabelled")

    def setup(self) -> None:
        self._model = _load(self._folder)

    def process(self, batch: Sequence[tuple[Any, bytes]]) -> Iterator[tuple[Any, int | None]]:
        size = self._model.width * _EMBEDDING_TYPE.itemsize
        for key, data in batch:
            if len(data) != size:
                raise ValueError(
                    f"the embedding of {key!r} has {len(data)} bytes, and the clusters in {self._folder} are of {size}"
                )
        labels = run_isolated([data for _, data in batch], self._assign)
        for (key, _), label in zip(batch, labels, strict=True):
            if isinstance(label, ModelFailure):
                self._unlabelled.inc()
                yield key, None
            else:
                self._labelled.inc()
                yield key, label

    def _assign(self, embeddings: Sequence[bytes]) -> list[int]:
        rows = np.frombuffer(b"".join(embeddings), _EMBEDDING_TYPE).reshape(len(embeddings), -1)
        return self._model.assign(rows).tolist()
