"""Model files at remote paths: copied once per machine, whole or not at all.

A copy lies in ``models/KEY/`` of the `cache_folder`, where KEY is a digest of the path and of what the file system says
of the files: other weights under the same path are another copy. Nothing is ever removed from there; delete the folder
to give its room back.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from beam_recap.remote_files import RemoteError, RemoteFile, digest, is_remote, list_files
from beam_recap.remote_transfer import fetch

_LOG = logging.getLogger(__name__)

CACHE_VARIABLE = "BEAM_RECAP_CACHE"
MAX_HEAD_BYTES = 64 << 20  # the published aesthetic heads have 3.7 MB
WAIT_S = 1800.0  # for another process's copy: 17 GB, an 8B captioner, take half an hour at 10 MB/s
_POLL_S = 0.5
_PIN = "#fingerprint="
# Weights in forms that no loader here reads: they are pickled, or another library's.
_UNREAD = (
    ".bin", ".ckpt", ".gguf", ".ggml", ".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".pickle", ".pkl", ".pt",
    ".pth", ".tflite",
)  # fmt: skip
_WEIGHTS = ".safetensors"
# What Mistral calls its own form of the weights, beside those that transformers reads.
_SECOND_FORM = "consolidated"
_CHANGED = "changed while it was copied; start again when it is complete"
_MAKE_ROOM = f"make room, or set {CACHE_VARIABLE} to a folder on a larger disk"
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


class ModelFilesError(OSError):
    """Remote model files cannot be used; the message names the flag and the path."""


def pinned(path: str, fingerprint: str | None) -> str:
    """A path that `local_copy` refuses once the files' fingerprint is another; local paths and names as they are."""
    return f"{path}{_PIN}{fingerprint}" if is_remote(path) and fingerprint else path


def unpinned(path: str) -> str:
    """The path without what `pinned` added, nor a slash at its end; local paths and names as they are."""
    return path.partition(_PIN)[0].rstrip("/") if is_remote(path) else path


def local_copy(path: str, flag: str, *, first_of: Sequence[str] = (), max_bytes: int | None = None) -> Path:
    """Where a model's file or folder lies on this machine; a remote one is copied there if no one did so before.

    Processes and threads that ask at once wait for one copy. Of a folder these are left out, and named in the log:
    weights in forms that no loader reads (pickled ones, other libraries'), safetensors in folders within it,
    ``consolidated*.safetensors``, and what ``first_of`` says.

    Args:
      path: a local path, given back as it is, or one that Beam's FileSystems know, perhaps `pinned`.
      flag: the flag that it comes from, for messages.
      first_of: names of a folder's weights, of which the loader reads only the first that is there; then other
        safetensors are left out.
      max_bytes: refuse more than this.

    Raises:
      ModelFilesError: nothing is there; no permission, no connection; changed since it was pinned, or while it was
        copied; too large, no room on the disk; no folder that can be written.
    """
    if not is_remote(path):
        return Path(path)
    location, fingerprint = unpinned(path), path.partition(_PIN)[2]
    try:
        files = list_files(location)
        if not files:
            raise RemoteError("does not exist; give the path of a model that does")
        if fingerprint and digest(files) != fingerprint:
            raise RemoteError("has changed since the run began; start the run again")
        model = _Model(location, *_sort_out(location, files, first_of))
        if not model.files:
            raise RemoteError(
                "holds only weights in forms that are not read here, such as pickled ones; give .safetensors files"
            )
        if max_bytes is not None and model.size > max_bytes:
            raise RemoteError(
                f"is {_bytes(model.size)} large, more than the {_bytes(max_bytes)} of any such file; give the right one"
            )
        return _copy_of(model)
    except RemoteError as error:
        raise ModelFilesError(f"--{flag}={location}: {error}") from error


def cache_folder() -> Path:
    """The folder of copies: ``$BEAM_RECAP_CACHE``, or beam-recap in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Where there is no home that can be written: beam-recap-UID in the temporary directory, if it is this user's alone.

    Raises:
      RemoteError: it cannot be made or written.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        if problem := _cannot_write(Path(given)):
            raise RemoteError(f"cannot be copied to {given} ({problem}); set {CACHE_VARIABLE} to another folder")
        return Path(given)
    usual = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "beam-recap"
    if usual.is_absolute() and not _cannot_write(usual):
        return usual
    fallback = Path(tempfile.gettempdir()) / f"beam-recap-{os.getuid()}"
    problem = _cannot_write(fallback, mode=0o700)
    # Anyone can make folders there: weights in another's are not to be trusted.
    if not problem and (fallback.is_symlink() or fallback.stat().st_uid != os.getuid()):
        problem = "it is another user's"
    if problem or fallback.stat().st_mode & 0o022:
        problem = problem or "others can write there"
        raise RemoteError(f"cannot be copied to {fallback} ({problem}); set {CACHE_VARIABLE} to a folder of your own")
    return fallback


@dataclass(frozen=True, slots=True)
class _Model:
    """A remote file or folder, and what of it is wanted."""

    location: str
    files: list[RemoteFile]
    left_out: list[RemoteFile]

    @property
    def name(self) -> str:
        return self.location.rsplit("/", 1)[-1]

    @property
    def size(self) -> int:
        return _size(self.files)

    @property
    def folder_name(self) -> str:
        """The folder of the files in a copy, so that it keeps its name; none for a single file."""
        return "" if any(file.path == self.location for file in self.files) else self.name

    def is_same(self) -> bool:
        """Whether the files are still listed as they were; also where that cannot be known."""
        try:
            return set(self.files) <= set(list_files(self.location))
        except RemoteError:
            return True

    def is_whole(self, copy: Path) -> bool:
        """Whether a copy has all files in full size; their content was checked before it got its name."""
        try:
            return all((copy / self.folder_name / file.name).stat().st_size == file.size for file in self.files)
        except OSError:
            return False


def _sort_out(
    location: str, files: Sequence[RemoteFile], first_of: Sequence[str]
) -> tuple[list[RemoteFile], list[RemoteFile]]:
    """The files that loaders read, and the others."""
    names = {file.name for file in files}
    chosen = next((name for name in first_of if name in names), None)

    def is_read(file: RemoteFile) -> bool:
        suffix = PurePosixPath(file.name).suffix
        if suffix != _WEIGHTS or file.path == location:
            return suffix not in _UNREAD or file.path == location
        return "/" not in file.name and not file.name.startswith(_SECOND_FORM) and chosen in (None, file.name)

    return [file for file in files if is_read(file)], [file for file in files if not is_read(file)]


def _copy_of(model: _Model) -> Path:
    for part in (model.name, *(part for file in model.files for part in file.name.split("/"))):
        if part in ("", ".", "..") or "\\" in part or "\0" in part:
            raise RemoteError(f"holds a name that cannot be a local file's ({part!r}); rename it")
    folder = cache_folder() / "models"
    entry = folder / hashlib.sha256(f"{model.location}\0{digest(model.files)}".encode()).hexdigest()[:24]
    if not model.is_whole(entry):
        try:
            folder.mkdir(exist_ok=True)
            with _locked(entry.with_suffix(".lock"), model.location):
                if not model.is_whole(entry):
                    _make(entry, model)
        except RemoteError:
            raise
        except OSError as error:
            if error.errno in _DISK_IS_FULL:
                raise RemoteError(f"needs {_bytes(model.size)} in {folder}, which is full now; {_MAKE_ROOM}") from error
            problem = error.strerror or type(error).__name__
            remedy = f"set {CACHE_VARIABLE} to a folder that can be written"
            raise RemoteError(f"cannot be copied to {folder} ({problem}); {remedy}") from error
    return entry / model.name


def _make(entry: Path, model: _Model) -> None:
    free = shutil.disk_usage(entry.parent).free
    if model.size > free:
        needs = f"needs {_bytes(model.size)} in {entry.parent}, where {_bytes(free)} are free"
        raise RemoteError(f"{needs}; {_MAKE_ROOM}")
    if model.left_out:
        shown = ", ".join(file.name for file in model.left_out[:3]) + (", ..." if len(model.left_out) > 3 else "")
        size = _bytes(_size(model.left_out))
        _LOG.info("leaving out what nothing here reads: %s, %s (%s)", _count(model.left_out), size, shown)
    _LOG.info("copying %s (%s, %s) to %s", model.location, _count(model.files), _bytes(model.size), entry)
    # There is one copy of an entry at a time, so what lies under this name is a killed one's.
    temporary = entry.with_name(f".tmp-{entry.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        try:
            fetch(model.files, temporary / model.folder_name)
        except RemoteError as error:
            if model.is_same():
                raise
            raise RemoteError(_CHANGED) from error
        if not model.is_same():
            raise RemoteError(_CHANGED)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(entry, ignore_errors=True)  # one that is not whole, or there would be nothing to do
    temporary.rename(entry)


@contextlib.contextmanager
def _locked(path: Path, location: str) -> Iterator[None]:
    """Holds a lock among the threads and processes of this machine; it ends with the process that holds it."""
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOG.info("waiting for another's copy of %s", location)
            _wait_for(file, location)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a child process was forked meanwhile


def _wait_for(file: IO[str], location: str) -> None:
    import fcntl

    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                problem = f"another process has been copying it for {WAIT_S / 60:.0f} minutes; see what it logs"
                raise RemoteError(problem) from None
            time.sleep(_POLL_S)


def _cannot_write(folder: Path, mode: int = 0o777) -> str | None:
    """Makes a folder; what is in the way, if anything is."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None if os.access(folder, os.W_OK | os.X_OK) else "no permission to write there"


def _size(files: Sequence[RemoteFile]) -> int:
    return sum(file.size for file in files)


def _count(files: Sequence[RemoteFile]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
