"""`Display`: shows a run of this machine while it goes on."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from typing import TYPE_CHECKING, Self

from beam_recap import ending
from beam_recap.progress.counter import PERIOD_S, PROGRESS
from beam_recap.progress.phases import Phase
from beam_recap.progress.status import History, Status
from beam_recap.progress.totals import NO_STREAMS, SideCount
from beam_recap.progress.wording import phase_line, rows_line
from beam_recap.terminal import TERMINAL

if TYPE_CHECKING:
    from rich.live import Live

_TICK_S = 0.5
_LATER_PERIOD_S = 2 * PERIOD_S  # between lines, of a run that has gone on for
_LATER_S = 600.0
_STOP_S = 2.0  # that the screen may take to be left alone


class Display:
    """Draws on a terminal, and says a line every few seconds where there is none. A context manager.

    Args:
      in_processes: rows are done by worker processes.
      draws: whether to draw where that is possible; else lines are said there too.
    """

    def __init__(self, *, in_processes: bool = False, draws: bool = True):
        self._in_processes = in_processes
        self._draws = draws and TERMINAL.is_screen
        self._side: SideCount | None = None
        self._history = History()
        self._live: Live | None = None
        self._over = threading.Event()
        self._stopping = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)
        self._phase: Phase | None = None
        self._rows_are_told = False  # all of them, once the run has left them behind
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        PROGRESS.watch()
        if self._draws:
            self._live = self._start_live()
        ending.at_end(functools.partial(_leave_screen, weakref.ref(self)))
        self._try_tick()
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if self._side is not None:
            self._side.stop()
        self._thread.join()
        if error is None and self._live is None:
            self._try_tick()  # of a run of seconds, the thread may have seen little
        self.leave_screen()

    def count_beside(self, side: SideCount) -> None:
        """Has rows counted that the run itself does not know of yet."""
        self._side = side
        side.start()

    def _start_live(self) -> Live:
        import sys

        from rich.live import Live

        from beam_recap.progress.screen import console_of

        width, height = TERMINAL.size
        console = console_of(TERMINAL.stream, width=width, height=height, is_screen=True)
        shares_screen = sys.stdout is not None and sys.stdout.isatty()
        live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=shares_screen, redirect_stderr=False
        )
        live.start()
        TERMINAL.show_by(lambda text: console.print(text, soft_wrap=True))
        return live

    def leave_screen(self) -> None:
        """The cursor is there again. Also when the process is being ended, while other threads may hold any lock."""
        with self._stopping:
            live, self._live = self._live, None
        if live is not None:
            TERMINAL.show_by(None)
            stopping = threading.Thread(target=live.stop, daemon=True)
            stopping.start()
            stopping.join(_STOP_S)

    def _run(self) -> None:
        while not self._over.wait(_TICK_S):
            self._try_tick()

    def _try_tick(self) -> None:
        with contextlib.suppress(Exception):  # a display that fails is no reason for a run to
            self._tick()

    def _tick(self) -> None:
        TERMINAL.keep_little()
        counts = PROGRESS.counts()
        side = self._side
        if side is not None and counts.planned_streams > counts.ended_streams and counts.begun_units:
            side.count_streams()
        status = self._history.see(
            counts,
            PROGRESS.phase,
            streams=side.streams if side is not None else NO_STREAMS,
            done_before=side.done_before if side is not None else 0,
            in_processes=self._in_processes,
        )
        if self._live is not None:
            self._draw(status)
        else:
            self._say(status)

    def _draw(self, status: Status) -> None:
        from beam_recap.progress.screen import draw

        live = self._live
        if live is not None:
            live.console.size = TERMINAL.size  # type: ignore[assignment]
            live.update(draw(status, live.console.width), refresh=True)

    def _say(self, status: Status) -> None:
        now = time.monotonic()
        if status.phase is Phase.LOADING and now - self._last_line < PERIOD_S:
            return  # what cannot be used shows within seconds, as the only line
        if status.phase is not self._phase:
            if status.phase not in (Phase.LOADING, Phase.ROWS) and not self._rows_are_told:
                TERMINAL.say(rows_line(status))
                self._rows_are_told = True
            TERMINAL.say(phase_line(status.phase))
            self._phase, self._last_line = status.phase, now
            return
        period = PERIOD_S if status.elapsed_s < _LATER_S else _LATER_PERIOD_S
        if status.phase is Phase.ROWS and now - self._last_line >= period:
            TERMINAL.say(rows_line(status))
            self._last_line = now


def _leave_screen(display: weakref.ref[Display]) -> None:
    if (alive := display()) is not None:
        alive.leave_screen()
