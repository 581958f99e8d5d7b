"""Outcomes on their way to the checkpoint: one buffer for all writers of a process, so that files are few."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from beam_recap import ending
from beam_recap.checkpoint_pictures import picture_bytes
from beam_recap.records import Outcome

FLUSH_BYTES = 64 * 2**20


class OutcomeBuffer:
    """Collects outcomes and writes them by count, by their pictures' bytes and by time. For any number of threads.

    Whichever thread brings the last row of a file writes the rows of all. What could not be written stays.

    Args:
      write: writes outcomes and returns the files' paths.
      flush_rows: outcomes that are written together.
      flush_seconds: the longest time, in seconds, that one waits for others.
      flush_bytes: encoded pictures that are written together, at least.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Outcome]], list[str]],
        *,
        flush_rows: int = 500,
        flush_seconds: float = 20.0,
        flush_bytes: int = FLUSH_BYTES,
    ):
        self._write = write
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._flush_bytes = flush_bytes
        self._lock = threading.Lock()  # of what follows
        self._pending: list[Outcome] = []
        self._pending_bytes = 0
        self._written: list[str] = []
        self._timer: threading.Timer | None = None
        self._closed = threading.Event()
        self._writing = threading.Lock()
        with _OPEN_LOCK:
            _OPEN.add(self)

    def add(self, outcome: Outcome) -> None:
        """Takes an outcome.

        Raises:
          OSError: it was the last of a file, which cannot be written.
        """
        with self._lock:
            if not self._closed.is_set():
                self._pending.append(outcome)
                self._pending_bytes += picture_bytes(outcome)
            is_full = len(self._pending) >= self._flush_rows or self._pending_bytes >= self._flush_bytes
            if self._timer is None:
                self._timer = threading.Timer(self._flush_seconds, _flush_if_alive, (weakref.ref(self),))
                self._timer.daemon = True
                self._timer.start()
        if is_full or self._closed.is_set():
            self.flush()

    def flush(self) -> None:
        """Returns once all outcomes that were added before are written, by whichever thread.

        Raises:
          OSError: a file cannot be written.
        """
        while self._closed.is_set():
            time.sleep(1)
        with self._writing:
            self._flush()

    def written(self) -> list[str]:
        """Paths of files written since this was last asked, for one of those who ask."""
        with self._lock:
            paths, self._written = self._written, []
        return paths

    def close(self) -> None:
        """Writes what there is and takes no more: what becomes of rows in a process that is being ended is no outcome.

        Whoever brings or waits for more waits for the process's end.
        """
        with self._lock:
            self._closed.set()
        with self._writing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            outcomes, self._pending = self._pending, []
            pending_bytes, self._pending_bytes = self._pending_bytes, 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if not outcomes:
            return
        try:
            paths = self._write(outcomes)
        except BaseException:
            with self._lock:
                self._pending = outcomes + self._pending
                self._pending_bytes += pending_bytes
            raise
        with self._lock:
            self._written += paths


_OPEN_LOCK = threading.Lock()
_OPEN: weakref.WeakSet[OutcomeBuffer] = weakref.WeakSet()


def _flush_if_alive(reference: weakref.ref[OutcomeBuffer]) -> None:
    buffer = reference()
    if buffer is not None:
        with contextlib.suppress(Exception):  # the rows stay, and who flushes next learns of it
            buffer.flush()


def _close_all() -> None:
    with _OPEN_LOCK:
        buffers = list(_OPEN)
    for buffer in buffers:
        with contextlib.suppress(Exception):
            buffer.close()


ending.at_end(_close_all)
