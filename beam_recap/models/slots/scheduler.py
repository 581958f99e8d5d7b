"""The thread that owns an engine: rows of all callers go into the same slots, and each comes to an end of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import torch

from beam_recap.isolation import (
    FatalModelError,
    ModelFailure,
    attempt,
    describe_error,
    run_isolated,
)
from beam_recap.models.slots.engine import Prompt, SlotEngine, Writing
from beam_recap.records import Reason

_LOG = logging.getLogger(__name__)

# How many steps rows may wait for enough others to be read with them: a prefill of one row costs nearly as many weight
# reads as one of many, and a slot that is empty for so long costs less.
_PATIENCE_STEPS = 8

_LINGER_S = 0.05  # for rows whose pictures are being prepared, when there is nothing else to do


@dataclass(eq=False, slots=True)
class Row:
    """A picture on its way through the engine.

    Attributes:
      prompt: its tokens.
      pixels: ``[3, H, W]``, as the model's image processor gives them.
      future: gets what was written, or why nothing was.
      asked_at: seconds on the monotonic clock.
    """

    prompt: Prompt
    pixels: torch.Tensor
    future: Future[Written | ModelFailure] = field(default_factory=Future)
    asked_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Written:
    """An answer.

    Attributes:
      ids: new tokens, without the end token.
      truncated: no end token came within the limit.
      queue_s: from being asked to being read.
      decode_s: from being read to being finished.
      occupancy: share of the slots that wrote something meanwhile, 0 to 1; None if it took no step.
    """

    ids: list[int]
    truncated: bool
    queue_s: float
    decode_s: float
    occupancy: float | None


class SlotScheduler:
    """Runs an engine in a thread.

    Memory that runs out halves what is read at once, and then the slots; an exception is narrowed down to the row that
    causes it. A lost device ends all rows, those to come included, with `FatalModelError`.

    Args:
      engine: nobody else's from now on.
      group: rows that are read at once, at most.
    """

    def __init__(self, engine: SlotEngine[Row], group: int) -> None:
        if group < 1:
            raise ValueError(f"group must be at least 1, not {group}")
        self._engine = engine
        self._group = self._full_group = group
        self._full_slots = engine.slots
        self._inbox: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._announced = 0  # rows to come; under the lock
        self._failure: BaseException | None = None  # under the lock; no row is taken any more
        self._splits = 0  # under the lock
        # The thread's own.
        self._open: set[Row] = set()  # taken from the inbox, without a result
        self._waiting: deque[Row] = deque()
        self._impatience = 0
        self._thread = threading.Thread(target=self._run, name="beam-recap-captioner", daemon=True)
        self._thread.start()

    def announce(self, rows: int) -> None:
        """So many rows will be submitted or withdrawn: it is worth to wait for them a little."""
        with self._lock:
            self._announced += rows

    def withdraw(self) -> None:
        """An announced row does not come."""
        self.announce(-1)

    def submit(self, row: Row) -> None:
        """Takes an announced row.

        Raises:
          FatalModelError: the device is gone.
          RuntimeError: the scheduler is closed.
        """
        with self._lock:
            self._announced -= 1
            if self._failure is not None:
                raise self._failure
            self._inbox.put(row)

    def take_splits(self) -> int:
        """How often memory ran out, and less was tried at once, since this was last asked."""
        with self._lock:
            splits, self._splits = self._splits, 0
        return splits

    def close(self) -> None:
        """Ends the thread; what is not finished ends as an error."""
        self._refuse(RuntimeError("the captioner is closed"))
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._failure is None:
                self._turn()
        except BaseException as error:
            if not isinstance(error, FatalModelError):
                _LOG.exception("The captioner's thread failed")
            fatal = error if isinstance(error, FatalModelError) else FatalModelError(describe_error(error))
            self._refuse(fatal)
        self._end_all()

    def _refuse(self, failure: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or failure

    def _end_all(self) -> None:
        """Nobody waits for ever."""
        assert self._failure is not None
        while not self._inbox.empty():
            row = self._inbox.get()
            if row is not None:
                self._open.add(row)
        for row in self._open:
            row.future.set_exception(self._failure)

    def _turn(self) -> None:
        self._take_inbox()
        count = self._rows_to_admit()
        if count:
            self._admit([self._waiting.popleft() for _ in range(count)])
        elif self._engine.live:
            self._step()

    def _take_inbox(self) -> None:
        """Takes what has come; waits where there is nothing to do, or little and more on its way."""
        is_idle = not self._engine.live
        while True:
            try:
                if is_idle and not self._waiting:
                    row = self._inbox.get()
                elif is_idle and self._announced > 0 and len(self._waiting) < self._most():
                    row = self._inbox.get(timeout=_LINGER_S)
                else:
                    row = self._inbox.get_nowait()
            except queue.Empty:
                return
            if row is None:
                return
            self._open.add(row)
            self._waiting.append(row)

    def _most(self) -> int:
        return min(self._group, self._engine.slots)

    def _rows_to_admit(self) -> int:
        count = min(len(self._waiting), self._engine.free, self._group)
        if not count:
            return 0
        if count == self._most() or not self._engine.live or self._impatience >= _PATIENCE_STEPS:
            self._impatience = 0
            return count
        self._impatience += 1
        return 0

    def _admit(self, rows: list[Row]) -> None:
        failure = attempt(lambda: self._finish(self._read(rows)))
        if failure is None:
            return
        if failure.reason == Reason.OUT_OF_MEMORY:
            self._admit_less(rows, failure)
        elif len(rows) == 1:
            self._resolve(rows[0], failure)
        else:
            half = len(rows) // 2
            self._admit(rows[:half])
            self._admit(rows[half:])

    def _admit_less(self, rows: list[Row], failure: ModelFailure) -> None:
        """Memory ran out while prompts were read: fewer at once from now on, then fewer slots."""
        self._note_split()
        self._waiting.extendleft(reversed(rows))
        if len(rows) > 1:
            self._group = len(rows) // 2
            self._log_less("read at once", self._group)
        elif self._engine.slots > 1:
            self._shrink()
        else:
            self._resolve(self._waiting.popleft(), failure)
            self._restore()

    def _step(self) -> None:
        failure = attempt(lambda: self._finish(self._engine.step()))
        if failure is None:
            return
        if failure.reason == Reason.OUT_OF_MEMORY and self._engine.slots > 1:
            self._note_split()
            self._shrink()
        else:
            self._write_apart()

    def _shrink(self) -> None:
        """Half the slots. What was being written starts again."""
        self._waiting.extendleft(reversed(self._engine.live))
        self._resize(self._engine.slots // 2)
        self._log_less("captions written at once", self._engine.slots)

    def _restore(self) -> None:
        """A row that was alone ran out of memory: it was that row, not the number of rows."""
        self._group = self._full_group
        if self._engine.slots < self._full_slots:
            self._resize(self._full_slots)

    def _resize(self, slots: int) -> None:
        while (failure := attempt(partial(self._engine.resize, slots))) is not None:
            if slots == 1:
                raise FatalModelError(failure.detail)
            slots //= 2

    def _write_apart(self) -> None:
        """A step failed, and does not say for which row: they start again by halves, until the culprit is alone."""
        rows = self._engine.live
        self._engine.clear()
        for row, result in zip(rows, run_isolated(rows, self._write_to_end), strict=True):
            if isinstance(result, ModelFailure):
                self._resolve(row, result)
                if result.reason == Reason.OUT_OF_MEMORY:
                    self._restore()
            else:
                self._finish([result])
        self._engine.clear()

    def _write_to_end(self, rows: Sequence[Row]) -> list[Writing[Row]]:
        self._engine.clear()
        done: dict[Row, Writing[Row]] = {}
        for start in range(0, len(rows), self._group):
            done.update((writing.key, writing) for writing in self._read(rows[start : start + self._group]))
        while self._engine.live:
            done.update((writing.key, writing) for writing in self._engine.step())
        return [done[row] for row in rows]

    def _read(self, rows: Sequence[Row]) -> list[Writing[Row]]:
        now = time.monotonic()
        finished = self._engine.admit([(row, row.prompt, row.pixels) for row in rows])
        for row in rows:
            row.started_at = now
        return finished

    def _finish(self, writings: Sequence[Writing[Row]]) -> None:
        now = time.monotonic()
        for writing in writings:
            row = writing.key
            if not writing.is_finite:
                self._resolve(row, ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite"))
                continue
            written = Written(
                writing.ids,
                truncated=not writing.ended,
                queue_s=row.started_at - row.asked_at,
                decode_s=now - row.started_at,
                occupancy=writing.occupancy,
            )
            self._resolve(row, written)

    def _resolve(self, row: Row, result: Written | ModelFailure) -> None:
        self._open.discard(row)
        row.future.set_result(result)

    def _note_split(self) -> None:
        with self._lock:
            self._splits += 1

    def _log_less(self, what: str, count: int) -> None:
        _LOG.warning("out of memory; %s from now on: %d (see --caption_batch_size)", what, count)
