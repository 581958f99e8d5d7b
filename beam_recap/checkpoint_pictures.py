"""Pictures of the checkpoint: encoded, in files beside those of the outcomes, so that who reads outcomes reads none.

``OUTPUT/_checkpoint/outcomes/<unit id>/<attempt>-*.pictures`` are JPEGs one after another, written before the Parquet
file of the same name, whose column ``picture`` says where in it each row's is: ``FILE:OFFSET:LENGTH``. They are read
one at a time, in any order.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from beam_recap import files
from beam_recap.records import Outcome, Rejection, Sample

_SUFFIX = ".pictures"
_MOST_OPEN = 16
_COPY_BYTES = 1 << 20


class PictureError(RuntimeError):
    """A picture that the checkpoint names is not there, or not whole."""


def store(directory: str, stem: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Writes the kept rows' pictures to one file, if there are any.

    Args:
      directory: the unit's.
      stem: the file's name without suffix.
      outcomes: of one unit, with encoded pictures in ``image_bytes``.

    Returns:
      The outcomes with ``picture`` instead.
    """
    data = [_picture_of(outcome) for outcome in outcomes]
    if not any(one is not None for one in data):
        return list(outcomes)
    placed: list[Outcome] = []
    offset = 0
    name = f"{stem}{_SUFFIX}"
    with files.write_whole(files.join(directory, name)) as file:
        for outcome, picture in zip(outcomes, data, strict=True):
            if picture is None or isinstance(outcome, Rejection):
                placed.append(outcome)
                continue
            file.write(picture)
            place = f"{name}:{offset}:{len(picture)}"
            placed.append(dataclasses.replace(outcome, image_bytes=None, picture=place))
            offset += len(picture)
    return placed


def picture_bytes(outcome: Outcome) -> int:
    """Bytes of the encoded picture that an outcome still carries; 0 if it has none."""
    return len(_picture_of(outcome) or b"")


def _picture_of(outcome: Outcome) -> bytes | None:
    return outcome.image_bytes if isinstance(outcome, Sample) else None


def delete_orphans(directory: str) -> None:
    """Deletes pictures of writers that were killed before they wrote the outcomes. For when no writer is at work."""
    written = {path.removesuffix(".parquet") for path in files.match_in(directory, "*.parquet")}
    pictures = files.match_in(directory, f"*{_SUFFIX}")
    files.delete([path for path in pictures if path.removesuffix(_SUFFIX) not in written])


class PictureReader:
    """Reads a unit's pictures one at a time, as a context manager. Holds none of them.

    Files of an object store are first copied to a temporary folder of this machine, one after another as they are
    needed: rows come back in the input's order, which is not the order in which they were finished, and a request for
    each picture would take longer than all of the rest. It needs as much room as the unit's pictures.

    Args:
      directory: the unit's.
    """

    def __init__(self, directory: str):
        self._directory = directory
        self._open: dict[str, BinaryIO] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> PictureReader:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def read(self, picture: str | None) -> bytes:
        """The picture at a place, as a `Sample` names it.

        Raises:
          PictureError: there is none.
        """
        try:
            name, offset, length = (picture or "").rsplit(":", 2)
            file = self._opened(name)
            file.seek(int(offset))
            data = file.read(int(length))
        except (ValueError, FileNotFoundError) as error:
            raise PictureError(f"no picture {picture!r} in {self._directory}") from error
        if len(data) != int(length):
            raise PictureError(f"the picture {picture} in {self._directory} ends after {len(data)} bytes")
        return data

    def _opened(self, name: str) -> BinaryIO:
        if name not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[name] = open(self._local_path(name), "rb")  # noqa: SIM115 - `__exit__` closes it
        return self._open[name]

    def _local_path(self, name: str) -> str:
        path = files.join(self._directory, name)
        if "://" not in path:
            return path
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="beam-recap-pictures-")
        copy = Path(self._folder.name, name.replace("/", "_"))
        if not copy.exists():
            with files.open_read(path) as source, open(copy, "wb") as target:
                shutil.copyfileobj(source, target, _COPY_BYTES)
        return os.fspath(copy)
