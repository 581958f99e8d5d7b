"""Models on disk: whole or not there, strangers' arrays, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from support.embeddings import blobs, contents
from support.gcs_server import GcsServer

from beam_recap import files
from beam_recap.clusters import model_folder
from beam_recap.clusters.model import ClusterModel, ClusterModelError
from beam_recap.clusters.nearest import Metric

ROWS, _ = blobs(200, 12)
SKLEARN = PCA(4).fit(ROWS.astype(np.float64))
CENTROIDS = SKLEARN.transform(ROWS[:7].astype(np.float64)).astype(np.float32)
MODEL = ClusterModel(CENTROIDS, SKLEARN.mean_, SKLEARN.components_, metric=Metric.DOT, normalise=True)
PLAIN = ClusterModel(ROWS[:3].astype(np.float32))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    model_folder.save(str(folder), MODEL, {"rows": 200})
    assert sorted(contents(folder)) == ["centroids.npy", "manifest.json", "pca_components.npy", "pca_mean.npy"]
    assert np.array_equal(np.load(folder / "pca_components.npy"), SKLEARN.components_)
    assert np.load(folder / "centroids.npy").dtype == np.float32
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["rows"], manifest["metric"], manifest["normalise"]) == (200, "dot", True)
    assert manifest["arrays"]["pca_mean.npy"]["shape"] == [12]
    for loaded in (
        model_folder.load(str(folder)),
        model_folder.load(f"{folder}/", metric=Metric.DOT, normalise=True),
    ):
        assert np.array_equal(loaded.assign(ROWS), MODEL.assign(ROWS))
        assert (loaded.metric, loaded.projection.normalise) == (Metric.DOT, True)
    with pytest.raises(ClusterModelError, match=r"manifest\.json says metric=dot, not l2"):
        model_folder.load(str(folder), metric=Metric.L2)
    with pytest.raises(ClusterModelError, match=r"manifest\.json says normalise=True, not False"):
        model_folder.load(str(folder), normalise=False)


def write_archive(folder: Path) -> None:
    np.savez(folder / "pca.npz", mean_=SKLEARN.mean_, components_=np.asfortranarray(SKLEARN.components_))


def write_arrays(folder: Path) -> None:
    np.save(folder / "mean_.npy", SKLEARN.mean_)
    np.save(folder / "components_.npy", SKLEARN.components_)


def write_ours(folder: Path) -> None:
    np.save(folder / "pca_mean.npy", SKLEARN.mean_)
    np.save(folder / "pca_components.npy", SKLEARN.components_)


@pytest.mark.parametrize("write", [write_archive, write_arrays, write_ours])
def test_models_of_others(tmp_path: Path, write: Any) -> None:
    np.save(tmp_path / "centroids.npy", CENTROIDS)
    write(tmp_path)
    (tmp_path / "README.txt").touch()
    expected = ClusterModel(CENTROIDS, SKLEARN.mean_, SKLEARN.components_)
    loaded = model_folder.load(str(tmp_path))
    assert np.array_equal(loaded.assign(ROWS), expected.assign(ROWS))
    assert (loaded.metric, loaded.projection.normalise) == (Metric.L2, False)
    assert model_folder.load(str(tmp_path), metric=Metric.DOT, normalise=True).metric == Metric.DOT


def test_centroids_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "centroids.npy", ROWS[:50].astype(np.float64))
    loaded = model_folder.load(str(tmp_path), metric=Metric.DOT)
    assert np.array_equal(loaded.assign(ROWS), (ROWS.astype("f4") @ ROWS[:50].T.astype("f4")).argmax(axis=1))
    assert loaded.centroids.dtype == np.float32


@pytest.mark.parametrize("name", ["centroids.npy", "pca_mean.npy", "pca_components.npy"])
def test_a_file_that_is_not_the_manifests(tmp_path: Path, name: str) -> None:
    model_folder.save(str(tmp_path), MODEL, {})
    np.save(tmp_path / name, np.load(tmp_path / name) * 2)
    with pytest.raises(ClusterModelError, match=f"{name} is not the file that its manifest.json tells of"):
        model_folder.load(str(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(ClusterModelError, match=f"it holds no {name}"):
        model_folder.load(str(tmp_path))


def changed(folder: Path, **facts: Any) -> str:
    return json.dumps(json.loads((folder / "manifest.json").read_text()) | facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"format": "other"},
        {"metric": "cosine"},
        {"normalise": 1},
        {"arrays": {}},
        {"arrays": {"../centroids.npy": {"sha256": ""}}},
        {"arrays": {"centroids.npy": {"sha256": None}}},
        {"arrays": {"centroids.npy": 3}},
        {"arrays": None},
        {"more": "x" * (1 << 20)},
    ],
)
def test_manifests_of_something_else(tmp_path: Path, facts: dict[str, Any]) -> None:
    model_folder.save(str(tmp_path), MODEL, {})
    text = changed(tmp_path, **facts)
    for written in (text, "[1]", "", "[" * 100_000, "\xff"):
        (tmp_path / "manifest.json").write_bytes(written.encode("latin-1"))
        with pytest.raises(ClusterModelError, match=r"its manifest\.json is not one of this project's"):
            model_folder.load(str(tmp_path))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({}, "it holds no centroids.npy"),
        ({"mean_": SKLEARN.mean_}, "it holds mean_.npy, but no components_.npy"),
        ({"centroids": CENTROIDS, "pca_components": SKLEARN.components_}, "it holds pca_components.npy, but no pca_m"),
        ({"centroids": CENTROIDS * np.float32(np.nan)}, "centroids.npy holds numbers that are not finite"),
        ({"centroids": CENTROIDS.astype(int)}, "centroids.npy holds int64"),
        ({"centroids": CENTROIDS[0]}, r"these are \[7\]|these are \[4\]"),
        (
            {"centroids": CENTROIDS, "mean_": SKLEARN.mean_, "components_": SKLEARN.components_[:3]},
            "the PCA gives 3 dimensions",
        ),
    ],
)
def test_arrays_that_are_no_model(tmp_path: Path, arrays: dict[str, np.ndarray], problem: str) -> None:
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(ClusterModelError, match=f"^{tmp_path}: {problem}"):
        model_folder.load(str(tmp_path))


def test_two_pcas_and_broken_archives(tmp_path: Path) -> None:
    np.save(tmp_path / "centroids.npy", CENTROIDS)
    (tmp_path / "pca.npz").write_bytes(b"PK")
    with pytest.raises(ClusterModelError, match=r"pca\.npz is no readable"):
        model_folder.load(str(tmp_path))
    np.savez(tmp_path / "pca.npz", mean_=SKLEARN.mean_)
    with pytest.raises(ClusterModelError, match=r"pca\.npz has no array components_"):
        model_folder.load(str(tmp_path))
    write_arrays(tmp_path)
    with pytest.raises(ClusterModelError, match="more than one PCA"):
        model_folder.load(str(tmp_path))


@pytest.mark.parametrize("before", [None, PLAIN, MODEL])
@pytest.mark.parametrize("writes", range(4))
def test_ending_at_any_write_leaves_no_model_and_the_next_one_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: ClusterModel | None, writes: int
) -> None:
    folder = str(tmp_path / "model")
    if before is not None:
        model_folder.save(folder, before, {})
    left = writes
    write = files.write_bytes

    def fail_later(path: str, data: bytes) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", fail_later)
    with pytest.raises(KeyboardInterrupt):
        model_folder.save(folder, MODEL, {})
    monkeypatch.undo()
    with pytest.raises(ClusterModelError, match=r"it holds no centroids\.npy"):
        model_folder.load(folder)
    model_folder.check_replaceable(folder)
    model_folder.save(folder, PLAIN, {})
    assert model_folder.load(folder).clusters == 3
    assert sorted(contents(tmp_path / "model")) == ["centroids.npy", "manifest.json"]


def test_what_may_be_replaced(tmp_path: Path) -> None:
    assert not model_folder.check_replaceable(str(tmp_path / "new" / "model"))
    assert not model_folder.check_replaceable(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(ClusterModelError, match=f"because {tmp_path}/file is a file"):
        model_folder.check_replaceable(str(tmp_path / "file" / "model"))
    with pytest.raises(ClusterModelError, match="is not empty and holds no cluster model of this project"):
        model_folder.check_replaceable(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ClusterModelError, match="is not empty and holds no cluster model of this project"):
        model_folder.check_replaceable(str(tmp_path))
    model_folder.save(str(tmp_path / "model"), MODEL, {})
    assert model_folder.check_replaceable(str(tmp_path / "model"))
    with pytest.raises(ClusterModelError, match="cannot be read"):
        model_folder.check_replaceable("nosuch://x")


def test_an_object_store(gcs: GcsServer) -> None:
    gcs.buckets.add("b")
    assert not model_folder.check_replaceable("gs://b/model")
    model_folder.save("gs://b/model", MODEL, {})
    assert model_folder.check_replaceable("gs://b/model")
    assert np.array_equal(model_folder.load("gs://b/model").assign(ROWS), MODEL.assign(ROWS))
    with pytest.raises(ClusterModelError, match=r"^gs://b/none: it holds no centroids\.npy"):
        model_folder.load("gs://b/none")
    with pytest.raises(ClusterModelError, match=r"^nosuch://b cannot be read"):
        model_folder.load("nosuch://b")
