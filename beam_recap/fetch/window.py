"""Downloads in flight while somebody computes: put rows in, take out those whose pictures have arrived."""

from __future__ import annotations

import queue
import weakref
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from beam_recap.fetch.fetcher import Fetcher
from beam_recap.fetch.local_files import LocalReader, is_local
from beam_recap.fetch.request import Request
from beam_recap.fetch.settings import FetchResult

Item = TypeVar("Item")


class FetchWindow(Generic[Item]):
    """A bounded number of rows that are waiting, downloading, or downloaded and not yet taken. For one thread.

    The order is that of arrival, not of `put`, so a slow host delays only its own rows. Bodies count against the
    fetcher's `ahead_bytes` until they are taken; of a window that is closed or forgotten nothing stays.

    Args:
      fetcher: may be shared with other windows.
      reader: reads rows whose "URL" names a file; None: such rows end as INVALID_URL. May be shared likewise.
    """

    def __init__(self, fetcher: Fetcher, reader: LocalReader | None = None) -> None:
        self._fetcher = fetcher
        self._reader = reader
        self._size = fetcher.settings.ahead_rows
        self._open: dict[Request, Item] = {}  # put and not yet taken
        self._arrivals = _Arrivals([fetcher.loop] if reader is None else [fetcher.loop, reader])
        self._from_web = _Inlet(self._arrivals, fetcher.loop)
        self._from_files = _Inlet(self._arrivals, reader) if reader is not None else None
        self._finalizer = weakref.finalize(self, self._arrivals.close)

    def put(self, item: Item, url: str) -> None:
        """Starts fetching the picture of a row. Never waits.

        Args:
          item: comes out with the result.
          url: anything; what is no http or https URL ends as INVALID_URL.

        Raises:
          RuntimeError: the fetcher is closed, or was made by another process.
        """
        if self._reader is not None and self._from_files is not None and is_local(url):
            request = self._reader.request(url, self._from_files)
        else:
            request = self._fetcher.request(url, self._from_web)
        self._open[request] = item

    def ready(self) -> Iterator[tuple[Item, FetchResult]]:
        """At most one row that has its result; waits for as many as it takes while the window is full.

        One row out for each row in keeps the window as full as it is: the downloads never run dry.
        """
        while self._open:
            is_full = len(self._open) >= self._size
            try:
                yield self._take(wait=is_full)
            except queue.Empty:
                return
            if not is_full:
                return

    def drain(self) -> Iterator[tuple[Item, FetchResult]]:
        """All rows that are in, as they get their results."""
        while self._open:
            yield self._take(wait=True)

    def close(self) -> None:
        """Forgets what is in; nothing new of it is asked for. Can be called again."""
        self._open.clear()
        self._finalizer()

    def __len__(self) -> int:
        return len(self._open)

    def _take(self, wait: bool) -> tuple[Item, FetchResult]:
        request, result = self._arrivals.take(wait)
        return self._open.pop(request), result


class _Arrivals:
    """Where results lie until they are taken. It knows nothing of the window, which can so be forgotten."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        self.is_open = True
        self._sources = sources
        self._queue: queue.SimpleQueue[tuple[_Source, Request, FetchResult]] = queue.SimpleQueue()

    def put(self, source: _Source, request: Request, result: FetchResult) -> None:
        self._queue.put((source, request, result))
        if not self.is_open:
            self._empty()

    def take(self, wait: bool) -> tuple[Request, FetchResult]:
        try:
            source, request, result = self._queue.get(block=False)
        except queue.Empty:
            for source in self._sources:
                source.settle()
            if not wait:
                raise
            source, request, result = self._queue.get()
        source.give_back(request)
        return request, result

    def close(self) -> None:
        self.is_open = False
        self._empty()

    def _empty(self) -> None:
        while True:
            try:
                self.take(wait=False)
            except queue.Empty:
                return


class _Source(Protocol):
    def give_back(self, request: Request) -> None: ...

    def settle(self) -> None: ...


class _Inlet:
    """The `Receiver` of one source's results."""

    holds = True

    def __init__(self, arrivals: _Arrivals, source: _Source) -> None:
        self._arrivals = arrivals
        self._source = source

    @property
    def wanted(self) -> bool:
        return self._arrivals.is_open

    def done(self, request: Request, result: FetchResult) -> None:
        self._arrivals.put(self._source, request, result)
