"""Fitting: the arrays that scikit-learn and faiss give by hand, in whatever files the rows are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from sklearn.decomposition import IncrementalPCA
from support.embeddings import blobs, write_embeddings

from beam_recap.clusters import fit, fit_kmeans, row_sample
from beam_recap.clusters.embedding_files import EmbeddingFiles, EmbeddingsError
from beam_recap.clusters.model import ClusterModel
from beam_recap.clusters.projection import Projection
from beam_recap.clusters.row_sample import RowSample
from beam_recap.clusters.settings import ClusterSettings, parse_flags
from beam_recap.flag import ConfigError

ROWS, CENTRES = blobs(1203, 20)
SMALL = {
    "pca_dimensions": 6,
    "pca_batch_rows": 400,
    "clusters": 5,
    "iterations": 12,
    "redo": 3,
    "min_points": 10,
    "max_points": 1000,
}


def settings(**changes: Any) -> ClusterSettings:
    flags = {"input": "x", "output": "y"} | SMALL | changes
    return parse_flags([f"--{name}={value}" for name, value in flags.items()])


def fitted(folder: Path, rows: np.ndarray = ROWS, **changes: Any) -> tuple[ClusterModel, dict[str, Any]]:
    embeddings = EmbeddingFiles.find([str(write_embeddings(folder, rows, files=3))])
    fit.check(settings(**changes), embeddings)
    return fit.fit(settings(**changes), embeddings)


def by_hand(rows: np.ndarray, dimensions: int = 6) -> tuple[IncrementalPCA, np.ndarray]:
    pca = IncrementalPCA(n_components=dimensions, batch_size=400).fit(rows)
    return pca, pca.transform(rows).astype(np.float16)


def kmeans(features: np.ndarray, clusters: int = 5, redo: int = 3, iterations: int = 12) -> faiss.Kmeans:
    found = faiss.Kmeans(
        features.shape[1],
        clusters,
        niter=iterations,
        nredo=redo,
        seed=42,
        min_points_per_centroid=10,
        max_points_per_centroid=1000,
    )
    found.train(features.astype(np.float32))
    return found


def test_scikit_learn_and_faiss_by_hand_give_the_same_arrays(tmp_path: Path) -> None:
    model, facts = fitted(tmp_path)
    pca, features = by_hand(ROWS)
    assert np.array_equal(model.projection.mean, pca.mean_)
    assert np.array_equal(model.projection.features(ROWS), features)
    # The last bits of a decomposition depend on the number of threads.
    assert np.allclose(model.projection.components, pca.components_, rtol=0, atol=1e-12)
    expected = kmeans(features)
    assert np.array_equal(model.centroids, expected.centroids)
    assert np.array_equal(model.assign(ROWS), expected.assign(features.astype(np.float32))[1])
    assert (
        facts["kmeans"]["objective"] == min(facts["kmeans"]["objectives"]) and len(facts["kmeans"]["objectives"]) == 3
    )
    assert facts["pca"]["explained_variance_ratio"] == pytest.approx(pca.explained_variance_ratio_.sum())


def test_blobs_are_found(tmp_path: Path) -> None:
    model, facts = fitted(tmp_path, redo=10)
    labels = model.assign(ROWS)
    pairs = set(zip(labels.tolist(), CENTRES.tolist(), strict=True))
    assert len(pairs) == 5
    sizes = np.bincount(labels)
    assert facts["cluster_sizes"] == {
        "smallest": sizes.min(),
        "quartiles": np.quantile(sizes, (0.25, 0.5, 0.75)).tolist(),
        "largest": sizes.max(),
        "empty": 0,
    }
    assert facts["embeddings"] == {
        "rows": 1203,
        "width": 20,
        "max_rows": None,
        "rows_used": 1203,
        "sha256": hashlib.sha256(ROWS.tobytes()).hexdigest(),
    }


def test_without_a_pca(tmp_path: Path) -> None:
    model, facts = fitted(tmp_path, pca_dimensions="none", metric="dot")
    assert np.array_equal(model.centroids, kmeans(ROWS).centroids)
    assert (model.projection.mean, facts["pca"], model.metric) == (None, None, "dot")


def test_normalising(tmp_path: Path) -> None:
    lengths = np.exp2(np.random.default_rng(0).integers(-3, 3, len(ROWS))).astype(np.float16)
    model, _ = fitted(tmp_path / "a", ROWS * lengths[:, None], normalise="true", redo=10)
    other, _ = fitted(tmp_path / "b", normalise="true", redo=10)
    assert np.array_equal(model.centroids, other.centroids)
    assert len(set(zip(model.assign(ROWS).tolist(), CENTRES.tolist(), strict=True))) == 5


@pytest.mark.parametrize("cuts", [[], [1], [400, 800], [5, 5, 1200]])
@pytest.mark.parametrize("max_rows", ["none", 500])
def test_how_rows_lie_in_files_leaves_no_trace(tmp_path: Path, cuts: list[int], max_rows: object) -> None:
    expected, facts = fitted(tmp_path / "a", max_rows=max_rows, max_points=70)
    embeddings = EmbeddingFiles.find([str(write_embeddings(tmp_path / "b", ROWS, cuts=cuts))])
    model, other_facts = fit.fit(settings(max_rows=max_rows, max_points=70), embeddings)
    assert np.array_equal(model.projection.components, expected.projection.components)
    assert np.array_equal(model.centroids, expected.centroids)
    assert facts == other_facts
    assert facts["kmeans"]["rows"] == 350


def test_the_rows_that_are_drawn(tmp_path: Path) -> None:
    model, facts = fitted(tmp_path, max_rows=600, max_points=50)
    used = ROWS[RowSample(1203, 600, 42, 1).mask(0, 1203)]
    pca, features = by_hand(used)
    drawn = features[RowSample(600, 250, 42, 2).mask(0, 600)]
    assert np.array_equal(model.projection.mean, pca.mean_)
    assert np.array_equal(model.centroids, kmeans(drawn).centroids)
    assert facts["embeddings"]["sha256"] == hashlib.sha256(used.tobytes()).hexdigest()
    assert (facts["embeddings"]["rows_used"], facts["kmeans"]["rows"]) == (600, 250)


def test_another_seed_draws_and_starts_otherwise(tmp_path: Path) -> None:
    models = [fitted(tmp_path / str(seed), seed=seed, clusters=20, min_points=1)[0] for seed in (1, 2)]
    assert not np.array_equal(models[0].centroids, models[1].centroids)


@pytest.mark.parametrize(
    ("rows", "dimensions", "clusters"), [(4096 * 8 + 5, 6, 4), (4096 * 9 + 1, 5, 4), (1000, 16, 30), (300, 3, 299)]
)
def test_features_too_many_to_decode_at_once(rows: int, dimensions: int, clusters: int) -> None:
    features = np.random.default_rng(0).standard_normal((rows, dimensions)).astype(np.float16)
    common = {"iterations": 7, "redo": 2, "seed": 42, "min_points": 1, "max_points": 10**6}
    expected = faiss.Kmeans(
        dimensions, clusters, niter=7, nredo=2, seed=42, min_points_per_centroid=1, max_points_per_centroid=10**6
    )
    expected.train(features.astype(np.float32))
    for decoded_bytes in (0, 1 << 30):
        found = fit_kmeans.fit_kmeans(features, clusters, **common, decoded_bytes=decoded_bytes)
        assert np.array_equal(found.centroids, expected.centroids)


def test_the_number_of_threads_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = faiss.omp_get_max_threads()
    seen = []
    train = fit_kmeans._train
    monkeypatch.setattr(
        fit_kmeans, "_train", lambda *values: (seen.append(faiss.omp_get_max_threads()), train(*values))[1]
    )
    models = []
    for name, threads in (("a", 1), ("b", 3), ("c", 3), ("d", "none")):
        model, facts = fitted(tmp_path / name, threads=threads, redo=1)
        models.append(model.centroids)
        assert seen.pop() == facts["kmeans"]["threads"] == (usual if threads == "none" else threads)
        assert faiss.omp_get_max_threads() == usual
    assert np.array_equal(models[1], models[2])


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(fit_kmeans, "PERIOD_S", 0.01)
    features = np.random.default_rng(0).standard_normal((20_000, 32)).astype(np.float16)
    with caplog.at_level("INFO"):
        fit_kmeans.fit_kmeans(features, 100, iterations=25, redo=2, seed=1, min_points=1, max_points=10**6)
    found = [re.fullmatch(r"K-means: start (\d) of 2, iteration (\d+) of 25", line) for line in caplog.messages]
    places = [tuple(map(int, match.groups())) for match in found if match]
    assert len(places) == len(found) > 5 and places == sorted(places)
    assert len(set(places)) > 5 and max(iteration for _, iteration in places) <= 25


def test_as_many_rows_as_clusters_are_the_centroids() -> None:
    features = ROWS[:30]
    found = fit_kmeans.fit_kmeans(features, 30, iterations=3, redo=1, seed=1, min_points=1, max_points=10)
    assert np.array_equal(found.centroids, features.astype(np.float32)) and found.objectives is None


def test_a_cluster_that_empties_is_refilled_as_faiss_does() -> None:
    features = np.repeat(ROWS[:3], 40, axis=0)  # three places for ten clusters
    found = fit_kmeans.fit_kmeans(features, 10, iterations=12, redo=3, seed=42, min_points=10, max_points=1000)
    assert np.array_equal(found.centroids, kmeans(features, 10).centroids)
    assert np.isfinite(found.centroids).all()


def test_rows_that_are_all_the_same(tmp_path: Path) -> None:
    model, facts = fitted(tmp_path, np.ones((100, 20), np.float16))
    assert len(set(model.assign(np.ones((100, 20), np.float16)))) == 1
    assert facts["pca"]["explained_variance_ratio"] is None and facts["cluster_sizes"]["empty"] == 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pca_dimensions": 21}, "--pca_dimensions=21: is more than the 20 numbers of an embedding"),
        ({"max_rows": 5}, "--pca_dimensions=6: needs as many rows, and there are 5; give fewer"),
        ({"clusters": 121}, "--clusters=121: needs 1,210 rows with --min_points=10, and there are 1,203; give fewer"),
        ({"max_rows": 49}, "--clusters=5: needs 50 rows with --min_points=10, and there are 49; give fewer"),
        ({"temporary_folder": "/no/such"}, "--temporary_folder=/no/such: cannot be used"),
    ],
)
def test_rows_that_do_not_suffice(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        fitted(tmp_path, **changes)


def test_a_full_disk_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = fit.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(fit.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ConfigError, match=r"--temporary_folder=.*: needs 0\.0 GB for features, and 0\.0 GB are free"):
        fitted(tmp_path)


def test_features_beyond_float16(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float32)
    rows[700:] *= 1e6
    with pytest.raises(EmbeddingsError, match="row 299 has features too large for float16"):
        fitted(tmp_path, rows, pca_dimensions="none")


def test_files_that_change_between_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(*arguments: object) -> Projection:
        monkeypatch.undo()
        for path in tmp_path.rglob("*.npy"):
            np.save(path, np.load(path)[::-1])
        return Projection(*arguments)

    made = iter((Projection, change))
    monkeypatch.setattr(fit, "Projection", lambda *values, **named: next(made)(*values, **named))
    with pytest.raises(EmbeddingsError, match="changed while it was read"):
        fitted(tmp_path)


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    fitted(tmp_path / "run", temporary_folder=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_blocks_of_the_sample_do_not_show_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = fitted(tmp_path / "a")
    monkeypatch.setattr(row_sample, "_BLOCK_ROWS", 7)
    model, _ = fitted(tmp_path / "b")
    assert np.array_equal(model.centroids, expected.centroids)
