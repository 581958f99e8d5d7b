"""Files by path, local or ``gs://``, through Beam's FileSystems: nothing has its name before it is whole."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import IO, Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_recap import google_access
from beam_recap.ending import at_end

google_access.set_up()

_TEMPORARY = ".tmp-"
# Of object stores: other readers' data/* takes hidden objects too, but nothing of a folder in it.
_TEMPORARY_FOLDER = ".tmp"
_TOKEN_CHARS = 32
LOCK = ".lock"  # names of locks begin so; they are no content


def join(directory: str, *names: str) -> str:
    """``directory/name/...`` for local and ``gs://`` paths alike."""
    return "/".join((directory.rstrip("/"), *names))


def absolute(pattern: str) -> str:
    """A local path or glob from the root; others as they are."""
    return pattern if "://" in pattern else os.path.abspath(pattern)


def match(pattern: str) -> list[str]:
    """Paths of the files that a glob (or a plain path) matches, sorted. Unfinished files do not count."""
    if "://" in pattern:
        (result,) = FileSystems.match([pattern])
        paths = [metadata.path for metadata in result.metadata_list]
    elif os.path.isfile(pattern):
        paths = [pattern]
    else:
        paths = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    return sorted(path for path in paths if not path.rsplit("/", 1)[-1].startswith(_TEMPORARY))


def match_in(directory: str, pattern: str) -> list[str]:
    """`match` for a glob below a directory whose own name may hold glob characters."""
    return match(join(glob.escape(directory), pattern))


def match_beneath(folder: str) -> list[str]:
    """Paths of the files anywhere beneath a folder, sorted; none if it is no folder. Unfinished files do not count."""
    if "://" in folder:
        return match_in(folder.rstrip("/"), "**") if glob.escape(folder) == folder else []
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(_TEMPORARY) and os.path.isfile(os.path.join(place, name))
    )


def holds_files(directory: str) -> bool:
    """Whether there is any (finished) file below a directory; looks no further than the first."""
    if "://" in directory:
        return bool(match_in(directory, "**"))
    return any(not name.startswith((_TEMPORARY, LOCK)) for _, _, names in os.walk(directory) for name in names)


def unfinished_in(directory: str, of: str = "") -> list[str]:
    """Paths of what writers that were killed have left in a directory, of files whose names begin with ``of``."""
    pattern = f"{glob.escape(_temporary_folder(directory))}{_TEMPORARY}*"
    if "://" in directory:
        (result,) = FileSystems.match([pattern])
        paths = [metadata.path for metadata in result.metadata_list]
    else:
        paths = glob.glob(pattern)
    name_starts = len(_TEMPORARY) + _TOKEN_CHARS + 1
    return sorted(path for path in paths if path.rsplit("/", 1)[-1][name_starts:].startswith(of))


def _temporary_folder(directory: str) -> str:
    """Where the unfinished files of a directory lie, with a slash at its end; "" is the working directory."""
    start = directory and f"{directory.rstrip('/')}/"
    return f"{start}{_TEMPORARY_FOLDER}/" if "://" in directory else start


def folders_in(directory: str) -> list[str]:
    """Names of the folders directly in a directory that hold files, finished or not."""
    if "://" not in directory:
        return sorted(os.path.basename(path.rstrip("/")) for path in glob.glob(f"{glob.escape(directory)}/*/"))
    (result,) = FileSystems.match([f"{glob.escape(directory)}/**"])
    names = (metadata.path[len(directory) + 1 :] for metadata in result.metadata_list)
    return sorted({name.split("/")[0] for name in names if "/" in name})


def versions_in(directory: str) -> dict[str, str]:
    """The files of a remote directory (not beneath it), each with what its listing tells of its content."""
    (result,) = FileSystems.match([f"{glob.escape(directory)}/*"])
    return {
        metadata.path: f"{metadata.size_in_bytes} bytes, changed {metadata.last_updated_in_seconds}"
        for metadata in result.metadata_list
    }


def open_read(path: str) -> IO[bytes]:
    """Opens a file as it is (never decompressed), seekable."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read_bytes(path: str) -> bytes:
    with open_read(path) as file:
        return file.read()


@contextlib.contextmanager
def write_whole(path: str, check: Callable[[str], None] | None = None) -> Iterator[Any]:
    """Opens a temporary file near ``path`` for writing and renames it there when the block ends without error.

    Args:
      path: the final name.
      check: gets the temporary file's path once it is closed; if it raises, nothing is renamed.
    """
    directory, _, name = path.rpartition("/")
    make_directory(directory)
    temporary = f"{_temporary_folder(path.removesuffix(name))}{_TEMPORARY}{uuid.uuid4().hex}-{name}"
    _BEING_WRITTEN.add(temporary)
    try:
        with _creating(temporary) as file:
            yield file
        if check is not None:
            check(temporary)
        FileSystems.rename([temporary], [path])
    except BaseException as error:
        delete([temporary])
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            error.filename = path  # a full disk does not say which file it could not take
        raise
    finally:
        _BEING_WRITTEN.discard(temporary)


# Where a process is ended, nothing is unwound.
_BEING_WRITTEN: set[str] = set()
at_end(lambda: delete([path for path in list(_BEING_WRITTEN) if "://" not in path]))


@contextlib.contextmanager
def _creating(path: str) -> Iterator[Any]:
    """A new file that is whole when the block ends without error, and let go of otherwise."""
    file = FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    try:
        yield file
        file.close()
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            # A writer of Google's that is not closed uploads what it holds when it is collected, and tries for minutes.
            getattr(file, "_buffer", file).close()
        raise


def write_bytes(path: str, data: bytes) -> None:
    with write_whole(path) as file:
        file.write(data)


def write_alone(path: str, data: bytes) -> None:
    """`write_bytes` for a path that has one writer at a time: also deletes what killed ones have left."""
    directory, _, name = path.rpartition("/")
    delete(unfinished_in(directory, name))
    write_bytes(path, data)


def exists(path: str) -> bool:
    return FileSystems.exists(path)


def make_directory(path: str) -> None:
    """Makes a local directory and its parents; object stores have none to make."""
    if "://" not in path and path:
        os.makedirs(path, exist_ok=True)


def nearest_existing(path: str) -> str:
    """A local path itself, or the nearest of the folders around it that exists."""
    place = os.path.abspath(path)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    return place


def delete(paths: list[str]) -> None:
    """Deletes files or whole directories; what is not there is no error."""
    for path in paths:
        with contextlib.suppress(BeamIOError, OSError):
            if "://" in path:
                # Beam takes the path for a glob, unless it ends as a folder's.
                FileSystems.delete([path if path.endswith("/") else glob.escape(path)])
            elif os.path.isdir(path):  # Beam would take the path for a glob, and delete what it matches
                shutil.rmtree(path)
            else:
                os.remove(path)
