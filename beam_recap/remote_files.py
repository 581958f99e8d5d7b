"""Files at paths that Beam's FileSystems know (``gs://...``): what is there, told by metadata alone."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from beam_recap.isolation import describe_error

# A model has some dozen files. More are a bucket, or a folder of many models.
MAX_FILES = 1000
_THREADS = 8  # a checksum is a request of its own, of tens of milliseconds
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]+(/.*)?")
_GLOB = re.compile(r"[*?[]")
_REQUEST = re.compile(r"\b[A-Z]{3,6} https?://\S+: ")  # a client tells its whole URL, which helps nobody
_NO_PERMISSION = (401, 403)
_NOT_FOUND = 404


class RemoteError(OSError):
    """A remote path cannot be used. The message ends a sentence that begins with the path."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its file system lists it."""

    path: str
    name: str  # below the folder that was listed, with "/"; of a file that was listed itself: its name
    size: int  # bytes
    version: str  # the file system's checksum, or where it has none the time of the last change
    crc32c: str | None  # base64 of four bytes, most significant first; None where the checksum is another


def is_remote(path: object) -> bool:
    """Whether a path has a scheme, such as ``gs://``."""
    return isinstance(path, str) and "://" in path


def exists(path: str) -> bool:
    """Whether there is a file.

    Raises:
      RemoteError: it cannot be known: no such file system, no permission, no connection.
    """
    from apache_beam.io.filesystems import FileSystems

    with _plain_errors(path):
        return bool(FileSystems.exists(path))


def list_files(path: str) -> tuple[RemoteFile, ...]:
    """A file, or the files anywhere beneath a folder, sorted by name; none if nothing is there. Reads no content.

    Raises:
      RemoteError: as `exists`; more than `MAX_FILES` files; a path that holds glob characters.
    """
    base = path.rstrip("/")
    if _GLOB.search(base):
        raise RemoteError("holds one of * ? [, which would be taken for a pattern; rename it")
    with _plain_errors(path):
        is_bucket = "/" not in base.partition("://")[2]
        found = [] if is_bucket else _match(base)
        # Object stores may list a folder itself, as a name that ends with a slash.
        found = found or [metadata for metadata in _match(f"{base}/**") if not metadata.path.endswith("/")]
        if len(found) > MAX_FILES:
            raise RemoteError(f"holds more than {MAX_FILES} files; give the model's own folder")
        with ThreadPoolExecutor(_THREADS) as pool:
            files = list(pool.map(lambda metadata: _describe(metadata, base), found))
    return tuple(sorted(files, key=lambda file: file.name))


def digest(files: Sequence[RemoteFile]) -> str:
    """16 hexadecimal digits of the files' names, sizes and versions."""
    text = "".join(f"{file.name}\0{file.size}\0{file.version}\0" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def open_at(path: str, offset: int) -> Iterator[IO[bytes]]:
    """Opens a file at an offset in bytes. Errors of the block's reads are `RemoteError`s, as its own are."""
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with _plain_errors(path), FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        if offset:
            file.seek(offset)
        yield file


def _match(pattern: str) -> list[Any]:
    from apache_beam.io.filesystems import FileSystems

    (result,) = FileSystems.match([pattern], limits=[MAX_FILES + 1])
    return result.metadata_list


def _describe(metadata: Any, base: str) -> RemoteFile:
    from apache_beam.io.filesystems import FileSystems

    path, size = metadata.path, metadata.size_in_bytes
    name = path.removeprefix(f"{base}/") if path != base else base.rsplit("/", 1)[-1]
    try:
        checksum = FileSystems.checksum(path)
    except NotImplementedError:
        checksum = None
    if not checksum or str(checksum) == str(size):  # file systems without checksums may give the size
        return RemoteFile(path, name, size, f"changed {metadata.last_updated_in_seconds}", None)
    return RemoteFile(path, name, size, str(checksum), str(checksum) if path.startswith("gs://") else None)


@contextlib.contextmanager
def _plain_errors(path: str) -> Iterator[None]:
    """Turns whatever a file system raises into a `RemoteError`."""
    if not _PATH.fullmatch(path):
        raise RemoteError("is no path of a file or folder; give one such as gs://bucket/folder")
    try:
        yield
    except RemoteError:
        raise
    except Exception as error:  # whatever a file system, its client library or its credentials raise
        raise RemoteError(_explain(path, _cause(error))) from error


def _cause(error: BaseException) -> BaseException:
    """What lies at the bottom of Beam's wrapping."""
    while details := getattr(error, "exception_details", None):
        inner = next(iter(details.values()))
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def _explain(path: str, error: BaseException) -> str:
    detail = _REQUEST.sub("", describe_error(error))
    if isinstance(error, ValueError) and "Unable to get filesystem" in detail:
        return f"{path.partition('://')[0]}:// is no file system that is installed here; give a local or a gs:// path"
    code = getattr(error, "code", None)
    if code in _NO_PERMISSION or isinstance(error, PermissionError):
        return f"this account has no permission to read it ({detail})"
    if code == _NOT_FOUND or isinstance(error, FileNotFoundError):
        return f"does not exist ({detail})"
    return f"cannot be read ({detail})"
