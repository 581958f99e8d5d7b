"""A webdataset tar, written as a stream: for each sample KEY.jpg, KEY.json and KEY.txt, as img2dataset lays them out.

The same samples give the same bytes: no times, no owners, fixed modes. Nothing is kept but the keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

from beam_recap import files

# A row's own key is taken if it is plain: webdataset ends a key at the first dot and takes slashes for folders, and the
# header of a member has room for 100 bytes, ".json" included.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,95}")
_OWN_START = "row-"  # of keys that are made here; no other key may begin so


class TarKeys:
    """The keys of one tar, each there once.

    A row keeps its own key where that is plain (ASCII letters, digits, ``_`` and ``-``, at most 95 of them), has not
    been used in this tar, also in capitals, and does not begin with ``row-``. Any other row gets
    ``row-SSSSSNNNNNNNNN``: the output shard's number, 5 digits, and the row's position in it, 9 digits.

    Args:
      shard: the output shard's number.
    """

    def __init__(self, shard: int):
        self._shard = shard
        self._used: set[str] = set()
        self._rows = 0

    def next(self, key: str) -> str:
        """The key of the next row, whose own is ``key``."""
        row = self._rows
        self._rows += 1
        folded = key.lower()  # names that differ in case only are one file on some disks
        if _PLAIN_KEY.fullmatch(key) and not folded.startswith(_OWN_START) and folded not in self._used:
            self._used.add(folded)
            return key
        return f"{_OWN_START}{self._shard:05d}{row:09d}"


class WebdatasetWriter:
    """Writes samples to a tar that gets its name when it is whole.

    Args:
      name: of the file in the output directory.
    """

    def __init__(self, name: str):
        self.name = name
        self.rows = 0
        self.size = 0  # bytes
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None

    @property
    def sha256(self) -> str:
        """Of what has been written."""
        return self._digest.hexdigest()

    @contextlib.contextmanager
    def open(self, output: str) -> Iterator[None]:
        """Takes samples while the block runs, and publishes the file when it ends without error.

        A tar of no samples is 10,240 zeros, which tar programs and webdataset read as an empty one: so that there is a
        tar for each Parquet file, and ``{00000..00011}`` names them all.
        """
        with files.write_whole(files.join(output, self.name)) as file:
            self._file = file
            yield
            self._write(bytes(2 * tarfile.BLOCKSIZE))
            self._write(bytes(-self.size % tarfile.RECORDSIZE))

    def add(self, key: str, picture: bytes, described: Mapping[str, Any], caption: str | None) -> None:
        """Writes a sample.

        Args:
          key: unique in this file, plain.
          picture: a JPEG.
          described: the content of KEY.json, strings, numbers, truth values, lists of them, and None.
          caption: the content of KEY.txt, which is empty for None, as img2dataset's is.
        """
        # In the order of their names, as webdataset's own writer puts them.
        self._member(f"{key}.jpg", picture)
        self._member(f"{key}.json", to_json(described))
        self._member(f"{key}.txt", _encoded(caption or ""))
        self.rows += 1

    def _member(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)  # mode 644, and everything else is 0 or empty
        header.size = len(data)
        self._write(header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict"))
        self._write(data)
        self._write(bytes(-len(data) % tarfile.BLOCKSIZE))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError(f"{self.name} is not open")
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)


def to_json(value: Mapping[str, Any]) -> bytes:
    """A JSON object in UTF-8; numbers that are not finite, for which JSON has no word, are null."""
    return _encoded(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # a lone surrogate can be written to no file
