"""`AssignCluster`: the model's labels by key, in batches of any size."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from support.collected import run_and_collect
from support.embeddings import blobs

from beam_recap.clusters import model_folder
from beam_recap.clusters.model import ClusterModel, ClusterModelError
from transforms.assign_cluster import AssignCluster

ROWS, _ = blobs(250, 8)
MODEL = ClusterModel(ROWS[:9].astype(np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    model_folder.save(str(tmp_path / "model"), MODEL, {})
    return str(tmp_path / "model")


def pairs(rows: np.ndarray) -> list[tuple[object, bytes]]:
    return [(("unit", number), row.astype("<f2").tobytes()) for number, row in enumerate(rows)]


@pytest.mark.parametrize("batch_rows", [1, 7, 1024])
def test_labels_are_the_models(folder: str, batch_rows: int) -> None:
    found = run_and_collect(pairs(ROWS), AssignCluster(folder, batch_rows=batch_rows))
    expected = {("unit", number): label for number, label in enumerate(MODEL.assign(ROWS).tolist())}
    assert len(found) == len(expected) and dict(found) == expected
    assert {type(label) for _, label in found} == {int}


def test_a_row_that_is_not_finite_has_no_label_and_costs_no_other(folder: str) -> None:
    rows = ROWS.copy()
    rows[[3, 100]] = [[np.nan], [np.inf]]
    labels: list[int | None] = MODEL.assign(ROWS).tolist()
    labels[3] = labels[100] = None
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | beam.Create(pairs(rows)) | AssignCluster(folder)
    result = pipeline.run()
    counters = {found.key.metric.name: found.committed for found in result.metrics().query()["counters"]}
    assert counters == {"rows_labelled": 248, "rows_unlabelled": 2}
    found = run_and_collect(pairs(rows), AssignCluster(folder))
    assert dict(found) == {("unit", number): label for number, label in enumerate(labels)}


def test_embeddings_of_another_model_end_the_run(folder: str) -> None:
    with pytest.raises(Exception, match=r"has 14 bytes, and the clusters in .* are of 16"):
        run_and_collect(pairs(ROWS[:, :7]), AssignCluster(folder))


def test_one_model_per_process_and_none_that_is_not_there(folder: str, tmp_path: Path) -> None:
    model = AssignCluster(folder).load()
    assert model is AssignCluster(folder).load() and model.clusters == 9
    with pytest.raises(ClusterModelError, match=r"it holds no centroids\.npy"):
        AssignCluster(str(tmp_path / "none")).load()
