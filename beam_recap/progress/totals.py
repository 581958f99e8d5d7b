"""How many rows a run has to do: exactly where it is known, an estimate that is called one, or nothing."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from beam_recap import checkpoint
from beam_recap.inputs.formats import GZIP, JSON, TAR, ShardError, detect_format
from beam_recap.inputs.tar_rows import count_rows
from beam_recap.inputs.text_rows import count_text_rows
from beam_recap.inputs.units import Unit, match_shards
from beam_recap.progress.counts import Counts
from beam_recap.slices import Slice

_SECONDS = 10.0  # that either count may take beside the run
_MOST_STREAM_BYTES = 64 << 20  # of a compressed or JSON text, which must be read whole
_LEAST_STREAMS = 2  # that an estimate rests on


@dataclass(frozen=True, slots=True)
class Total:
    """Rows of the whole run; ``rows`` is None where nothing is known, and ``is_estimate`` where not all are counted."""

    rows: int | None = None
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Streams:
    """What was counted of units whose rows only reading tells; ``is_all``: there are no others."""

    units: int = 0
    rows: int = 0
    is_all: bool = False


NO_STREAMS = Streams()


def total_of(counts: Counts, streams: Streams = NO_STREAMS) -> Total:
    """The total, once all units are planned.

    Args:
      counts: of all processes.
      streams: what was counted beside the run.
    """
    planned, known = counts.planned_streams, counts.planned_rows
    if counts.ended_streams >= planned:
        return Total(known + counts.ended_stream_rows) if planned or known or counts.begun_units else Total()
    if streams.is_all and streams.units == planned:
        return Total(known + streams.rows)
    units, rows = max((counts.ended_streams, counts.ended_stream_rows), (streams.units, streams.rows))
    if units < _LEAST_STREAMS:
        return Total()
    return Total(max(counts.rows + counts.skipped, known + round(rows / units * planned)), is_estimate=True)


class SideCount:
    """Counts on a thread of its own, beside the run, what local files tell: rows of streams, and rows done before.

    Args:
      patterns: the input.
      part: the slice that is done; None: all.
      output: the run's directory.
      attempt: the number of this run; of those before, outcomes are counted.
      retry: which of these are re-opened.
    """

    def __init__(self, patterns: Sequence[str], part: Slice | None, output: str, attempt: int, retry: str):
        self._patterns = tuple(patterns)
        self._part = part
        self._output = output
        self._attempt = attempt
        self._retry = retry
        self._over = threading.Event()
        self._may_count_streams = threading.Event()
        self.streams = NO_STREAMS
        self.done_before: int | None = 0 if attempt == 1 else None  # None: not known

    def start(self) -> None:
        threading.Thread(target=self._run, name="count_input", daemon=True).start()

    def count_streams(self) -> None:
        """There are units whose rows are not known."""
        self._may_count_streams.set()

    def stop(self) -> None:
        self._over.set()
        self._may_count_streams.set()

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # then it is not known
            if self._attempt > 1:
                self._count_done()
        self._may_count_streams.wait()
        with contextlib.suppress(Exception):
            if not self._over.is_set():
                self._count_streams()

    def _count_done(self) -> None:
        # A slice's checkpoint also holds the others' units; a bucket's files take long to read.
        if self._part is not None or "://" in self._output:
            return
        deadline = time.monotonic() + _SECONDS
        done = 0
        for rows in checkpoint.done_before(self._output, self._attempt, self._retry):
            done += rows
            if self._over.is_set() or time.monotonic() > deadline:
                return
        self.done_before = done

    def _count_streams(self) -> None:
        if any("://" in pattern for pattern in self._patterns):
            return  # the run asks often enough
        deadline = time.monotonic() + _SECONDS
        units, rows, is_all = 0, 0, True
        for shard in match_shards(self._patterns):
            if self._over.is_set() or time.monotonic() > deadline:
                is_all = False
                break
            with contextlib.suppress(ShardError):  # of one row, which is planned
                kind = detect_format(shard.path)
                unit = Unit(shard.path, shard.number, kind)
                if not (kind in (TAR, JSON) or kind.endswith(GZIP)) or not (
                    self._part is None or self._part.holds(unit)
                ):
                    continue
                if kind != TAR and os.path.getsize(shard.path) > _MOST_STREAM_BYTES:
                    is_all = False
                    continue
                rows += count_rows(shard.path) if kind == TAR else count_text_rows(unit, 1 << 60)
                units += 1
                self.streams = Streams(units, rows)
        self.streams = Streams(units, rows, is_all)
