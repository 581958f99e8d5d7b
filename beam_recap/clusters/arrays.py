"""Arrays in NumPy's ``.npy`` form, read strictly: nothing is unpickled, and no header is believed beyond its file."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.lib import format as npy

MAX_ARRAY_BYTES = 4 << 30  # a million centroids of 1,024 float32 numbers
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_FLOAT_BYTES = (2, 4, 8)


class ArrayError(ValueError):
    """No array of the kind that is wanted; the message is what follows a file's name in a sentence."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a ``.npy`` file says of itself. ``offset`` is the byte where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes]) -> Header:
    """Reads the head of a ``.npy`` file and leaves the file at its first number.

    Raises:
      ArrayError: no ``.npy`` file, or one of other things than floating-point numbers.
    """
    try:
        version = npy.read_magic(file)
        shape, fortran_order, dtype = _HEADERS[version](file)
        offset = file.tell()
    except Exception as error:  # strangers' bytes: whatever the parser makes of them
        raise ArrayError("is no .npy file of numbers") from error
    if dtype.kind != "f" or dtype.itemsize not in _FLOAT_BYTES:
        raise ArrayError(f"holds {dtype} and not floating-point numbers of 2, 4 or 8 bytes")
    if any(size < 0 for size in shape):
        raise ArrayError(f"has the impossible shape {list(shape)}")
    return Header(tuple(shape), dtype, fortran_order, offset)


def read_array(file: IO[bytes]) -> np.ndarray:
    """A whole array of finite numbers, in C order.

    Raises:
      ArrayError: no such array; more than 4 GiB; fewer bytes than its shape needs; numbers that are not finite.
    """
    header = read_header(file)
    if header.nbytes > MAX_ARRAY_BYTES:
        raise ArrayError(f"has the shape {list(header.shape)}, more than {MAX_ARRAY_BYTES >> 30} GiB")
    data = read_exactly(file, header.nbytes)
    order = "F" if header.fortran_order else "C"
    array = np.ascontiguousarray(np.frombuffer(data, header.dtype).reshape(header.shape, order=order))
    if not np.isfinite(array).all():
        raise ArrayError("holds numbers that are not finite")
    return array


def read_npz(file: IO[bytes], names: tuple[str, ...]) -> list[np.ndarray]:
    """The named arrays of an ``.npz`` archive. Raises `ArrayError`, as `read_array` does."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [_member(archive, name) for name in names]
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ArrayError("is no readable .npz archive") from error


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    if f"{name}.npy" not in archive.namelist():
        raise ArrayError(f"has no array {name}")
    try:
        with archive.open(f"{name}.npy") as member:
            return read_array(member)
    except ArrayError as error:
        raise ArrayError(f"in its array {name} {error}") from error


def read_exactly(file: IO[bytes], size: int) -> bytes:
    """That many bytes. Raises `ArrayError` where the file ends before."""
    parts, missing = [], size
    while missing:
        part = file.read(missing)
        if not part:
            raise ArrayError(f"ends {missing} bytes before its last number")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def array_bytes(array: np.ndarray) -> bytes:
    """The ``.npy`` file of an array, little-endian and in C order: the same numbers give the same bytes."""
    buffer = io.BytesIO()
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    npy.write_array(buffer, little_endian, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
