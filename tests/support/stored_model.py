"""A model in a bucket, and what its copy holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.gcs_server import GcsServer

from beam_recap.model_files import ModelFilesError, local_copy

MODEL = {"config.json": b"{}", "model.safetensors": os.urandom(100_000), "sub/vocab.txt": b"a b c", "empty": b""}


def put(gcs: GcsServer, files: dict[str, bytes] = MODEL, folder: str = "gs://b/models/llava") -> str:
    for name, data in files.items():
        gcs.put(f"{folder}/{name}", data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def entries(tmp_path: Path) -> list[str]:
    """What lies in the cache, without lock files."""
    return sorted(path.name for path in (tmp_path / "cache" / "models").glob("*") if path.suffix != ".lock")


def refusal(path: str) -> str:
    with pytest.raises(ModelFilesError) as caught:
        local_copy(path, "captioner")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"--captioner={path}: ")
