"""Tells whether model files are still the same, without reading gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from beam_recap.remote_files import digest as listing_digest
from beam_recap.remote_files import is_remote, list_files

_EDGE_BYTES = 1 << 16  # safetensors files begin with the names and places of their tensors


def fingerprint(path: str | Path, *, edge_bytes: int = _EDGE_BYTES) -> str | None:
    """16 hexadecimal digits of a file's, or a folder's files', names, sizes and outer bytes; None if nothing is there.

    Equal files give equal fingerprints. Different weights of the same shapes almost surely differ in their last 64 KiB.
    Of a remote path (``gs://...``) no byte is read: its file system's checksums, or times of change, stand for them.

    Raises:
      RemoteError: a remote path cannot be looked at.
    """
    if is_remote(path):
        listed = list_files(str(path))
        return listing_digest(listed) if listed else None
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not path.exists():
        return None
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path) if path.is_dir() else ''}\0{size}\0".encode())
        with file.open("rb") as data:
            digest.update(data.read(edge_bytes))
            data.seek(max(0, size - edge_bytes))
            digest.update(data.read(edge_bytes))
    return digest.hexdigest()[:16]
