"""Embeddings from runs, folders, files and globs: one sequence of rows, or a sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from support.embeddings import write_embeddings
from support.gcs_server import GcsServer

from beam_recap.clusters import embedding_files
from beam_recap.clusters.arrays import array_bytes
from beam_recap.clusters.embedding_files import EmbeddingFiles, EmbeddingsError
from beam_recap.clusters.row_sample import RowSample

ROWS = np.arange(70 * 3, dtype=np.float16).reshape(70, 3)


def read(found: EmbeddingFiles, keep: RowSample | None = None) -> np.ndarray:
    return np.concatenate(list(found.read(keep)))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_files, "_BLOCK_ROWS", 16)


def test_a_run_a_folder_a_file_and_a_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_embeddings(tmp_path / "run", ROWS, files=3)
    (run / "embeddings" / ".tmp-1-train-00009.npy").write_bytes(b"half")
    (run / "embeddings" / "_SUCCESS").touch()
    monkeypatch.chdir(tmp_path)
    files = [str(path) for path in sorted((run / "embeddings").glob("train*"))]
    for patterns in (
        [str(run)],
        ["run/"],
        [str(run / "embeddings")],
        ["run/embeddings/*.npy"],
        files,
        [files[2], files[0], files[1], "./run/embeddings/*-00001-*"],
    ):
        found = EmbeddingFiles.find(patterns)
        assert [file.path for file in found.files] == files
        assert (found.rows, found.width) == (70, 3)
        assert np.array_equal(read(found), ROWS)


def test_clip_retrievals_output_gives_its_images(tmp_path: Path) -> None:
    for name, rows in (("img_emb", ROWS), ("text_emb", -ROWS)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / f"{name}_0.npy", rows[:40])
        np.save(tmp_path / name / f"{name}_1.npy", rows[40:])
    assert np.array_equal(read(EmbeddingFiles.find([str(tmp_path)])), ROWS)


@pytest.mark.parametrize("cuts", [[], [1], [16, 32], [0, 5, 5, 69]])
def test_files_and_blocks_leave_no_trace(tmp_path: Path, cuts: list[int]) -> None:
    found = EmbeddingFiles.find([str(write_embeddings(tmp_path, ROWS, cuts=cuts))])
    digest, keep = hashlib.sha256(), RowSample(70, 20, 3)
    assert np.array_equal(read(found), ROWS)
    assert np.array_equal(np.concatenate(list(found.read(keep, digest))), ROWS[keep.mask(0, 70)])
    assert digest.digest() == hashlib.sha256(ROWS[keep.mask(0, 70)].tobytes()).digest()


def test_float32_and_other_byte_orders(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS.astype("<f4"))
    np.save(tmp_path / "b.npy", ROWS.astype(">f2"))
    assert np.array_equal(read(EmbeddingFiles.find([str(tmp_path)])), np.concatenate([ROWS, ROWS]))


def bad_row(value: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[35, 1] = value
    return rows


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    found = EmbeddingFiles.find([str(write_embeddings(tmp_path, bad_row(value), cuts=[10]))])
    with pytest.raises(EmbeddingsError, match=r"train-00001-of-00002.npy holds a number in row 25 that is not finite"):
        read(found)
    with pytest.raises(EmbeddingsError, match=r"train-00001-of-00002.npy holds a number in row 25 "):
        read(found, RowSample(70, 69, 1))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"no array", "is no .npy file of numbers"),
        (array_bytes(ROWS)[:-4], "ends 4 bytes before its last number"),
        (array_bytes(ROWS[0]), r"holds float16 \[3\], where embeddings are"),
        (array_bytes(ROWS[None]), r"holds float16 \[1, 70, 3\], where"),
        (array_bytes(ROWS[:, :0]), r"holds float16 \[70, 0\], where"),
        (array_bytes(ROWS.astype(float)), "holds float64"),
        (array_bytes(ROWS[:0]), "holds no rows"),
        (array_bytes(ROWS).replace(b"'fortran_order': False", b"'fortran_order': True "), "is stored column by column"),
    ],
)
def test_files_that_are_no_embeddings(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(EmbeddingsError, match=f"x.npy {problem}"):
        EmbeddingFiles.find([str(tmp_path)])


def test_different_widths(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    np.save(tmp_path / "b.npy", ROWS[:, :2])
    with pytest.raises(EmbeddingsError, match=r"b.npy holds rows of 2 numbers and .*a.npy rows of 3"):
        EmbeddingFiles.find([str(tmp_path)])


def test_nothing_there(tmp_path: Path) -> None:
    for pattern in (tmp_path, tmp_path / "none", tmp_path / "*.npy"):
        with pytest.raises(EmbeddingsError, match=r"is no .npy file, no folder of them and no glob that matches any"):
            EmbeddingFiles.find([str(pattern)])
    with pytest.raises(EmbeddingsError, match="cannot be listed"):
        EmbeddingFiles.find(["nosuch://x/y"])


def test_files_that_change_or_go(tmp_path: Path) -> None:
    found = EmbeddingFiles.find([str(write_embeddings(tmp_path, ROWS))])
    path = Path(found.files[0].path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EmbeddingsError, match=r"ends .* bytes before its last number"):
        read(found)
    path.unlink()
    with pytest.raises(EmbeddingsError, match="cannot be read"):
        read(found)


def test_an_object_store(gcs: GcsServer) -> None:
    for number, part in enumerate(np.array_split(ROWS, 3)):
        gcs.put(f"gs://b/run/embeddings/train-{number:05d}-of-00003.npy", array_bytes(part))
    for pattern in ("gs://b/run", "gs://b/run/embeddings/", "gs://b/run/embeddings/*.npy"):
        assert np.array_equal(read(EmbeddingFiles.find([pattern])), ROWS)
    with pytest.raises(EmbeddingsError, match=r"is no .npy file"):
        EmbeddingFiles.find(["gs://b/none"])
