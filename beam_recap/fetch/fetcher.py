"""The fetcher: give it URLs, it calls back with the bytes or with the reason why there are none."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from beam_recap.fetch.request import Callback, Receiver, Request
from beam_recap.fetch.settings import FetchResult, FetchSettings

if TYPE_CHECKING:
    from beam_recap.fetch.loop import Resolver, TransferLoop


class Fetcher:
    """Fetches many URLs at once, on one thread of its own. Safe to call from any thread; one per process is enough.

    It belongs to the process that made it, is never pickled, and closes itself when nobody refers to it any more.

    Args:
      settings: the limits.
      resolver: looks up names instead of the system: gives the IP addresses of (host, port), at least one, or raises
        OSError. Called on the fetcher's thread. For tests: addresses are checked whoever gave them.

    Raises:
      ValueError: the environment variable SSL_CERT_FILE names no file.
    """

    def __init__(self, settings: FetchSettings | None = None, resolver: Resolver | None = None) -> None:
        # libcurl is loaded only where pictures are fetched.
        from beam_recap.fetch.loop import TransferLoop

        self._process = os.getpid()
        self.settings = settings or FetchSettings()
        self.loop = TransferLoop(self.settings, find_certificates(), resolver)
        self._finalizer = weakref.finalize(self, _close, self.loop, self._process)  # the thread keeps the loop, not us

    def submit(self, url: str, done: Callable[[FetchResult], None]) -> None:
        """Starts fetching a URL, as soon as there is room.

        Args:
          url: anything; what is no http or https URL ends as INVALID_URL.
          done: called exactly once with the result, on the fetcher's thread: it should only hand it over. What it
            raises is logged.

        Raises:
          RuntimeError: the fetcher is closed, or was made by another process.
        """
        self.request(url, Callback(done))

    def request(self, url: str, receiver: Receiver) -> Request:
        """Like `submit`, for a receiver that is more than a function; `FetchWindow` is.

        Raises:
          RuntimeError: as `submit`.
        """
        if os.getpid() != self._process:
            raise RuntimeError("this fetcher was made by another process; its thread does not run here")
        return self.loop.submit(url, receiver)

    def fetch(self, url: str) -> FetchResult:
        """Fetches one URL and waits for the result.

        Raises:
          RuntimeError: as `submit`, and when called from `done`, where it would wait for ever.
        """
        if self.loop.is_own_thread():
            raise RuntimeError("fetch() must not be called on the fetcher's own thread")
        results: list[FetchResult] = []
        ready = threading.Event()

        def keep(result: FetchResult) -> None:
            results.append(result)
            ready.set()

        self.submit(url, keep)
        ready.wait()
        return results[0]

    def close(self) -> None:
        """Ends what is under way, as CONNECTION_ERROR, and stops the thread. Can be called again."""
        self._finalizer()


def _close(loop: TransferLoop, process: int) -> None:
    if os.getpid() == process:  # a forked child inherits the finalizer, but neither the thread nor its locks
        loop.close()


def find_certificates() -> str:
    """Path of the CA bundle: SSL_CERT_FILE if it is set, else certifi's.

    The OpenSSL inside pycurl's wheels looks for certificates where the machine that built it had them, and slim
    containers have none at all.

    Raises:
      ValueError: SSL_CERT_FILE names no file.
    """
    chosen = os.environ.get("SSL_CERT_FILE")
    if chosen:
        if not os.path.isfile(chosen):
            raise ValueError(f"SSL_CERT_FILE is {chosen!r}, which is no file; unset it to use the bundled certificates")
        return chosen
    import certifi

    return certifi.where()
