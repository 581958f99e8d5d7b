"""Embeddings as runs write them, drawn around a few centres."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def blobs(
    rows: int, width: int, centres: int = 5, seed: int = 0, spread: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Rows float16 ``[rows, width]`` of length 1 or so around far centres, and the centre of each, int ``[rows]``."""
    random = np.random.default_rng(seed)
    middle = random.standard_normal((centres, width))
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    labels = random.integers(0, centres, rows)
    return (middle[labels] + random.standard_normal((rows, width)) * spread / width**0.5).astype(np.float16), labels


def write_embeddings(folder: Path, rows: np.ndarray, files: int = 1, cuts: list[int] | None = None) -> Path:
    """Writes a run's ``embeddings/``: rows in equal files, or cut where it is said; gives the run's directory."""
    (folder / "embeddings").mkdir(parents=True)
    parts = np.split(rows, cuts) if cuts is not None else np.array_split(rows, files)
    for number, part in enumerate(parts):
        np.save(folder / "embeddings" / f"train-{number:05d}-of-{len(parts):05d}.npy", part)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
