"""Images that lie in files, not on the web: paths, file: URLs and gs:// URLs, where the user allows them."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

from beam_recap.fetch.policy import clean_detail
from beam_recap.fetch.request import Receiver, Request
from beam_recap.fetch.settings import FetchResult
from beam_recap.isolation import describe_error
from beam_recap.records import Reason

_THREADS = 16  # gs:// answers in tens of milliseconds
_FILES_AHEAD = 32  # read and not yet taken


def is_local(url: str) -> bool:
    """Whether a row's URL is an absolute path, or a file: or gs:// URL."""
    return url.startswith(("/", "gs://")) or url[:5].lower() == "file:"


def read_local(url: str, max_bytes: int) -> FetchResult:
    """Reads one file, if it is a regular one of at most `max_bytes` bytes; never raises.

    Returns:
      The bytes; or MISSING_IMAGE, TOO_LARGE, EMPTY_BODY, INVALID_URL (a file: URL of another machine), or
      CONNECTION_ERROR where it cannot be read for now.
    """
    try:
        body = _read_object(url, max_bytes) if url.startswith("gs://") else _read_path(_path_of(url), max_bytes)
    except FileNotFoundError as error:
        return _failure(Reason.MISSING_IMAGE, describe_error(error))
    except ValueError as error:
        return _failure(Reason.INVALID_URL, str(error))
    except Exception as error:  # no permission, no credentials, no network
        if type(error).__name__ == "NotFound":  # of Google's client, which need not be there
            return _failure(Reason.MISSING_IMAGE, describe_error(error))
        return _failure(Reason.CONNECTION_ERROR, describe_error(error))
    if len(body) > max_bytes:
        return _failure(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    if not body:
        return _failure(Reason.EMPTY_BODY, "the file is empty")
    return FetchResult(body, None, "", None, url, 1)


class LocalReader:
    """Reads files ahead, on threads of its own, as a `Fetcher` does URLs.

    Args:
      max_bytes: size of the largest file that is taken.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._room = threading.Semaphore(_FILES_AHEAD)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="beam-recap-reader")

    def request(self, url: str, receiver: Receiver) -> Request:
        """Starts reading a file as soon as there is room; `receiver` is told the result, on one of the threads."""
        request = Request(url, receiver)
        self._threads.submit(self._read, request, receiver)
        return request

    def give_back(self, request: Request) -> None:
        """The file's bytes are now somebody else's."""
        self._room.release()

    def settle(self) -> None:
        """Nothing is given back late here."""

    def _read(self, request: Request, receiver: Receiver) -> None:
        self._room.acquire()
        result = _failure(Reason.CONNECTION_ERROR, "nobody waits for it")
        if receiver.wanted:
            result = read_local(request.given, self._max_bytes)
        receiver.done(request, result)


def _path_of(url: str) -> str:
    if url.startswith("/"):
        return url
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"the URL names a file of another machine, {parts.netloc!r}")
    return unquote(parts.path)


def _read_path(path: str, max_bytes: int) -> bytes:
    # Without O_NONBLOCK a named pipe would wait for a writer before it could be told from a file.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("the path is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)


def _read_object(url: str, max_bytes: int) -> bytes:
    from beam_recap import files  # Beam, which a fetcher of web pages need not load

    with files.open_read(url) as file:
        return file.read(max_bytes + 1)


def _failure(reason: Reason, detail: str) -> FetchResult:
    return FetchResult(None, reason, clean_detail(detail), None, None, 1)
