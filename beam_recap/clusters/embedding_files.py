"""Embeddings as runs and clip-retrieval write them: ``.npy`` files of rows, read a block at a time.

A run writes ``OUTPUT/embeddings/train-00000-of-00012.npy``, float16 ``[rows, D]``, row i belonging to row i of
``data/train-00000-of-00012.parquet``; clip-retrieval writes ``img_emb/img_emb_0.npy``. The rows of all files are one
sequence, in the order of the files' paths (as text, so that ``img_emb_10`` comes before ``img_emb_2``).

Files are read and not memory-mapped: as little memory, the same for local and remote files, and one that is cut short
meanwhile is an error and not the end of the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from beam_recap import files
from beam_recap.clusters.arrays import ArrayError, read_exactly, read_header
from beam_recap.clusters.row_sample import RowSample
from beam_recap.isolation import describe_error

# Folders of images' embeddings within a folder that is given: a run's, and clip-retrieval's (beside text_emb).
_FOLDERS = ("embeddings", "img_emb")
_BLOCK_ROWS = 16_384
_HEADERS_AT_ONCE = 16  # of an object store each takes a few round trips
MAX_WIDTH = 65_536


class EmbeddingsError(ValueError):
    """Embeddings that cannot be used; the message is one sentence that names the file."""


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """One file of rows; ``offset`` is the byte of its first number."""

    path: str
    rows: int
    width: int
    dtype: np.dtype
    offset: int


@dataclass(frozen=True, slots=True)
class EmbeddingFiles:
    """All files, in the order of their paths."""

    files: tuple[EmbeddingFile, ...]

    @classmethod
    def find(cls, patterns: Sequence[str]) -> EmbeddingFiles:
        """Looks up files and reads their heads.

        Args:
          patterns: files, globs, folders of ``.npy`` files, and outputs of runs or of clip-retrieval.

        Raises:
          EmbeddingsError: nothing is there; no such array, or not all of it; rows of different widths; no rows.
        """
        paths = sorted({path for pattern in patterns for path in _paths(files.absolute(pattern))})
        with ThreadPoolExecutor(_HEADERS_AT_ONCE) as pool:
            found = tuple(pool.map(_describe, paths))
        first = found[0]
        for file in found:
            if file.width != first.width:
                raise EmbeddingsError(
                    f"{file.path} holds rows of {file.width} numbers and {first.path} rows of {first.width}"
                )
        if not any(file.rows for file in found):
            raise EmbeddingsError(f"{first.path} holds no rows")
        return cls(found)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def width(self) -> int:
        """D, the numbers of a row."""
        return self.files[0].width

    def read(self, keep: RowSample | None = None, digest: Digest | None = None) -> Iterator[np.ndarray]:
        """The rows in order: arrays ``[<= 16384, D]`` of the file's own type.

        Args:
          keep: the rows to read; all of them without it.
          digest: is fed the rows' bytes, as they are stored.

        Raises:
          EmbeddingsError: a row that is not finite; a file that cannot be read (any more).
        """
        start = 0
        for file in self.files:
            for first, block in _blocks(file, start, keep):
                mask = np.ones(len(block), bool) if keep is None else keep.mask(first, first + len(block))
                chosen = block[mask]
                bad = np.flatnonzero(~np.isfinite(chosen).all(axis=1))
                if bad.size:
                    row = first - start + int(np.flatnonzero(mask)[bad[0]])
                    raise EmbeddingsError(f"{file.path} holds a number in row {row} that is not finite")
                if digest is not None:
                    digest.update(chosen.tobytes())
                yield chosen
            start += file.rows


def _blocks(file: EmbeddingFile, start: int, keep: RowSample | None) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks that hold rows to keep, each with the number of its first row in the whole sequence."""
    row_bytes = file.width * file.dtype.itemsize
    try:
        with files.open_read(file.path) as stream:
            for first in range(0, file.rows, _BLOCK_ROWS):
                count = min(_BLOCK_ROWS, file.rows - first)
                if keep is not None and not keep.mask(start + first, start + first + count).any():
                    continue
                stream.seek(file.offset + first * row_bytes)
                data = read_exactly(stream, count * row_bytes)
                yield start + first, np.frombuffer(data, file.dtype).reshape(count, file.width)
    except ArrayError as error:
        raise EmbeddingsError(f"{file.path} {error}") from error
    except OSError as error:
        raise EmbeddingsError(f"{file.path} cannot be read ({describe_error(error)})") from error


def _paths(pattern: str) -> list[str]:
    try:
        found = [path for path in files.match(pattern) if not path.endswith("/")]
        for folder in _FOLDERS:
            found = found or files.match_in(pattern, f"{folder}/*.npy")
        found = found or files.match_in(pattern, "*.npy")
    except Exception as error:  # no such file system, no credentials, no network
        raise EmbeddingsError(f"{pattern} cannot be listed ({describe_error(error)})") from error
    if not found:
        raise EmbeddingsError(f"{pattern} is no .npy file, no folder of them and no glob that matches any")
    return found


def _describe(path: str) -> EmbeddingFile:
    try:
        with files.open_read(path) as file:
            header = read_header(file)
            file.seek(0, 2)
            missing = header.offset + header.nbytes - file.tell()
    except ArrayError as error:
        raise EmbeddingsError(f"{path} {error}") from error
    except Exception as error:  # a file system's own errors
        raise EmbeddingsError(f"{path} cannot be read ({describe_error(error)})") from error
    shape = header.shape
    if len(shape) != 2 or not 1 <= shape[1] <= MAX_WIDTH or header.dtype.itemsize == 8:
        raise EmbeddingsError(
            f"{path} holds {header.dtype} {list(shape)}, where embeddings are float16 or float32 [rows, numbers]"
        )
    if header.fortran_order and min(shape) > 1:
        raise EmbeddingsError(f"{path} is stored column by column; save it in C order")
    if missing > 0:
        raise EmbeddingsError(f"{path} ends {missing} bytes before its last number")
    return EmbeddingFile(path, shape[0], shape[1], header.dtype, header.offset)
