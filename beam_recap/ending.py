"""How a process ends before its work is done: within seconds, whatever its threads are doing, and with its say."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import psutil

GRACE_S = 10.0  # the most that an ending takes: who pre-empts a machine gives it about 30 s
_CHILDREN_S = 6.0  # of it, for the processes that this one started
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_ACTS: list[Callable[[], object]] = []
_ENDING = threading.Lock()  # held for ever by the first who ends the process


def at_end(act: Callable[[], object]) -> None:
    """Has `act` called when the process is `end`-ed, on whichever thread does that, while all others go on.

    What was given last is called first.
    """
    _ACTS.append(act)


def is_ending() -> bool:
    """Whether the process is being ended."""
    return _ENDING.locked()


def end(status: int, sentence: str = "") -> NoReturn:
    """Ends the process with all that it started. No thread is waited for, nothing is unwound.

    What was given to `at_end` is done, then the sentence is said, as the last line. If another thread is at it already,
    this one waits for its end.

    Args:
      status: the exit status.
      sentence: for the standard error; "": nothing.
    """
    if not _ENDING.acquire(blocking=False):
        while True:
            time.sleep(GRACE_S)
    logging.disable()  # what other threads now run into is no news
    deadline = threading.Timer(GRACE_S, _leave, (status, sentence))
    deadline.daemon = True
    deadline.start()
    for act in reversed(_ACTS):
        with contextlib.suppress(Exception):  # a full disk: those rows are done again
            act()
    children = _children()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    with contextlib.suppress(psutil.Error):
        _, left = psutil.wait_procs(children, timeout=_CHILDREN_S)
        for child in left:
            child.kill()
    _leave(status, sentence)


def _children() -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process().children(recursive=True)
    return []


def _leave(status: int, sentence: str) -> NoReturn:
    # Past all locks and buffers: another thread may hold them for as long as it likes.
    with contextlib.suppress(OSError):
        if sentence and select.select([], [2], [], 1)[1]:
            os.write(2, f"{sentence}\n".encode())
    os._exit(status)


@contextlib.contextmanager
def heed_signals(heed: Callable[[int], object]) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM are told to `heed`, on a thread of its own.

    So they are heard while the main thread is in foreign code, too, and raise nothing in the middle of it. A signal
    that is ignored stays so (a shell's background job). Has no effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    told_before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in heeded:
        signal.signal(number, _do_nothing)  # not "ignore", which processes that are started inherit
    threading.Thread(target=_hear, args=(heard, frozenset(heeded), heed), name="signals", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(told_before)
        os.close(tell)


def _hear(heard: int, numbers: frozenset[int], heed: Callable[[int], object]) -> None:
    while numbers_now := os.read(heard, 64):
        for number in numbers_now:
            if number in numbers:
                heed(number)
    os.close(heard)


def _do_nothing(*_: object) -> None:
    """The signal is told through the pipe."""


def status_of(number: int) -> int:
    """The exit status of a process that a signal ended, as shells give it: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number
