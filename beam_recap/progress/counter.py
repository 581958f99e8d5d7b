"""`PROGRESS`: counts what a process does with rows, and tells of it now and then."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from beam_recap.progress.counts import Counts, from_line, sum_counts, to_line
from beam_recap.progress.phases import Phase, phase_of
from beam_recap.records import Outcome, Rejection

_LOG = logging.getLogger("beam_recap.progress")
MARK = "beam-recap progress "  # before a worker process's counts in its log
PERIOD_S = 5.0  # between lines of a command
_WORKER_PERIOD_S = 1.0  # between the lines by which worker processes tell the command
_ENGINE_PERIOD_S = 30.0  # between lines of workers whose command sees none of it: there may be thousands


class Progress:
    """Counts rows. For any number of threads; a row costs a microsecond or two.

    What becomes of the counts depends on the process. The command's shows them (`watch`); a worker process of the
    command tells it (`tell_command`); a worker of another engine logs a line now and then, which is what happens if
    nothing else was chosen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own = Counts()
        self._others: dict[str, Counts] = {}
        self._phase = Phase.LOADING
        self._thread: threading.Thread | None = None
        self._period = _ENGINE_PERIOD_S
        self._tell: Callable[[], object] | None = self._log_line
        self._name = ""
        self._began = self._told_rows = 0

    # What workers do.

    def outcome(self, outcome: Outcome) -> None:
        """A row has ended."""
        own = self._own
        with self._lock:
            if isinstance(outcome, Rejection):
                own.rejected[outcome.reason] += 1
                seconds = outcome.sample.seconds
            else:
                own.kept += 1
                seconds = outcome.seconds
            if seconds is not None:
                for stage, spent in enumerate(seconds):
                    if spent is not None:
                        own.stage_rows[stage] += 1
                        own.stage_seconds[stage] += spent
        if self._thread is None and self._tell is not None:
            self._start()

    def fetched(self, size: int) -> None:
        """A picture of so many bytes came from the web."""
        with self._lock:
            self._own.fetched_bytes += size

    def unit_planned(self, rows: int | None) -> None:
        """There is a unit of so many rows; None: only reading tells how many."""
        with self._lock:
            if rows is None:
                self._own.planned_streams += 1
            else:
                self._own.planned_rows += rows
        if self._thread is None and self._tell is not None:
            self._start()

    def unit_begun(self, name: str, skipped: int) -> None:
        """A unit is being read, of which so many rows have an outcome already."""
        with self._lock:
            self._own.begun_units += 1
            self._own.skipped += skipped
            self._own.unit = name
        if self._thread is None and self._tell is not None:
            self._start()

    def stream_ended(self, rows: int) -> None:
        """A unit has been read whose rows only reading told."""
        with self._lock:
            self._own.ended_streams += 1
            self._own.ended_stream_rows += rows

    def tell_now(self) -> None:
        """Tells at once, if this process tells the command."""
        if self._tell == self._log_counts:
            self._log_counts()

    def tell_command(self) -> None:
        """This is a worker process: its counts go to the command, by its log."""
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._tell, self._period = self._log_counts, _WORKER_PERIOD_S

    # What the command does.

    def watch(self) -> None:
        """This is the command, which is about to begin: counts start from nothing, and are read and not told."""
        self._tell = None
        with self._lock:
            self._own = Counts()
            self._others.clear()
            self._phase = Phase.LOADING

    def heard(self, line: str) -> None:
        """A worker process has logged its counts."""
        if (told := from_line(line)) is not None:
            with self._lock:
                self._others[told[0]] = told[1]

    def enter(self, phase: Phase) -> None:
        """The run is in another phase."""
        self._phase = phase

    def stage_begins(self, steps: Iterable[str]) -> None:
        """The engine begins a stage of these steps."""
        if (phase := phase_of(steps)) is not None:
            self._phase = phase

    def counts(self) -> Counts:
        """Those of all processes."""
        with self._lock:
            return sum_counts([*self._others.values(), self._own])

    @property
    def phase(self) -> Phase:
        """Where the run is. Worker processes load models when their stage has begun."""
        if self._phase is Phase.ROWS:
            with self._lock:
                if not any(counts.begun_units for counts in (self._own, *self._others.values())):
                    return Phase.LOADING
        return self._phase

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(self._period)
            if self._tell is not None:
                self._tell()

    def _log_counts(self) -> None:
        with self._lock:
            counts = self._own.copy()
        line = to_line(self._name, counts)
        if line != self._told:
            self._told = line
            _LOG.info("%s%s", MARK, line)

    _told = ""

    def _log_line(self) -> None:
        with self._lock:
            kept, rejected = self._own.kept, self._own.rejected_rows
        if kept + rejected != self._told_rows:
            self._told_rows = kept + rejected
            rate = self._told_rows / (time.monotonic() - self._began)
            told = f"{self._told_rows:,} rows done ({kept:,} kept, {rejected:,} rejected)"
            _LOG.info("this worker: %s, %s rows/s", told, f"{rate:,.1f}")


PROGRESS = Progress()  # module-level, so that all DoFns of a process share it
