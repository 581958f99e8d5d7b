"""A line of progress every few seconds, from whichever process finishes rows."""

from __future__ import annotations

import logging
import threading
import time

_LOG = logging.getLogger("beam_recap.progress")
PERIOD_S = 5.0


class Progress:
    """Counts finished rows of this process and logs a line at most every `PERIOD_S` seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = self._rejected = 0
        self._started = self._last = time.monotonic()

    def row(self, *, kept: bool) -> None:
        with self._lock:
            if not self._kept + self._rejected:
                self._started = self._last = time.monotonic()
            if kept:
                self._kept += 1
            else:
                self._rejected += 1
            now = time.monotonic()
            if now - self._last < PERIOD_S:
                return
            self._last = now
            done = self._kept + self._rejected
            line = f"{done:,} rows done ({self._kept:,} kept, {self._rejected:,} rejected)"
            if now - self._started > 1:
                line += f", {done / (now - self._started):,.1f} rows/s"
        _LOG.info(line)


PROGRESS = Progress()  # module-level, so that all DoFns of a process share it
