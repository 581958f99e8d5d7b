"""Fetches remote files: several at once, large ones in parts, each checked against what its file system says of it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beam_recap.remote_files import RemoteError, RemoteFile, open_at

# One stream from an object store gives some 50 to 100 MB/s. Each holds two or three chunks in memory.
_THREADS = 8
_CHUNK_BYTES = 16 << 20  # what Beam's gs:// reader asks for at once
_PART_BYTES = 256 << 20


def fetch(files: Sequence[RemoteFile], folder: Path) -> None:
    """Copies files into a folder, under their names.

    Raises:
      RemoteError: a file cannot be read, or has not the size or the checksum that it was listed with.
      OSError: a copy cannot be written.
    """
    parts = []
    for file in files:
        place = folder / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as made:
            made.truncate(file.size)
        parts += [(file, place, start) for start in range(0, file.size, _PART_BYTES)]
    failed = threading.Event()

    def fetch_part(part: tuple[RemoteFile, Path, int]) -> None:
        try:
            _fetch_part(*part, failed)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            # Large parts first, so that none is left alone at the end.
            for _ in pool.map(fetch_part, sorted(parts, key=lambda part: part[0].size - part[2], reverse=True)):
                pass
            for _ in pool.map(_check, files, (folder / file.name for file in files)):
                pass
        except BaseException:
            failed.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch_part(file: RemoteFile, place: Path, start: int, failed: threading.Event) -> None:
    with place.open("r+b") as copy:
        copy.seek(start)
        for chunk in _chunks(file, start, min(start + _PART_BYTES, file.size)):
            if failed.is_set():
                return
            copy.write(chunk)


def _chunks(file: RemoteFile, start: int, end: int) -> Iterator[bytes]:
    # A generator, so that errors of writing are not taken for errors of reading.
    with open_at(file.path, start) as stream:
        while start < end:
            chunk = stream.read(min(_CHUNK_BYTES, end - start))
            if not chunk:
                raise RemoteError(f"{file.name} ends after {start} of {file.size} bytes")
            start += len(chunk)
            yield chunk


def _check(file: RemoteFile, copy: Path) -> None:
    """Reads what is on the disk; its size needs no check, since every byte was read."""
    if file.crc32c is None:
        return
    import google_crc32c

    checksum = google_crc32c.Checksum()
    with copy.open("rb") as data:
        for chunk in iter(lambda: data.read(_CHUNK_BYTES), b""):
            checksum.update(chunk)
    if base64.b64encode(checksum.digest()).decode() != file.crc32c:
        raise RemoteError(f"{file.name} did not arrive as it is there (its crc32c differs)")
