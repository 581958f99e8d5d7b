"""Small shards: Parquet files, webdataset tars and the pictures in them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def jpeg(width: int = 64, height: int = 48, color: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "JPEG")
    return buffer.getvalue()


def tar_bytes(samples: Sequence[Mapping[str, Any]], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """A webdataset tar: each sample holds its ``__key__`` and its members' bytes by suffix, in order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
        for sample in samples:
            for suffix, data in sample.items():
                if suffix != "__key__":
                    member = tarfile.TarInfo(f"{sample['__key__']}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_tar(path: Path, samples: Sequence[Mapping[str, Any]], tar_format: int = tarfile.USTAR_FORMAT) -> Path:
    """Writes what `tar_bytes` makes."""
    path.write_bytes(tar_bytes(samples, tar_format))
    return path


def write_parquet(path: Path, columns: Mapping[str, Any], row_group_size: int | None = None, **settings: Any) -> Path:
    """Writes columns (lists or Arrow arrays) by name; ``settings`` are those of ``pyarrow.parquet.write_table``."""
    pq.write_table(pa.table(dict(columns)), path, row_group_size=row_group_size, **settings)
    return path
