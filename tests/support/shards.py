"""Small shards: Parquet files, texts, webdataset tars and the pictures in them."""

from __future__ import annotations

import csv
import gzip
import io
import json
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


def table_bytes(kind: str, columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Columns by name as a text of a kind: ``txt`` (the URLs), ``csv``, ``tsv``, ``json``, ``jsonl``, with ``.gz``."""
    if kind.endswith(".gz"):
        return gzip.compress(table_bytes(kind.removesuffix(".gz"), columns), mtime=0)
    rows = list(zip(*columns.values(), strict=True))
    if kind in ("csv", "tsv"):
        text = io.StringIO(newline="")
        csv.writer(text, delimiter="," if kind == "csv" else "\t").writerows([list(columns), *rows])
        return text.getvalue().encode()
    if kind == "txt":
        return "".join(f"{url}\n" for url in columns["url"]).encode()
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    if kind == "json":
        return json.dumps(objects).encode()
    return "".join(json.dumps(row) + "\n" for row in objects).encode()


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes what `table_bytes` makes, of the kind that the name says."""
    path.write_bytes(table_bytes(path.name.partition(".")[2], columns))
    return path
