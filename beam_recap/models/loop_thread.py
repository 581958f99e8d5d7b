"""An asyncio event loop in a thread of its own, for callers that are no coroutines."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Ending = Callable[[], Coroutine[Any, Any, None]]


class LoopThread:
    """Runs coroutines of any number of threads. The thread starts when it is first needed."""

    def __init__(self, at_end: _Ending) -> None:
        """
        Args:
          at_end: runs on the loop when everything else has ended.
        """
        self._at_end = at_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Runs a coroutine there and waits for its result; an interrupt of the caller cancels it.

        Raises:
          RuntimeError: closed, before or while it ran.
        """
        with self._lock:
            if self._is_closed:
                work.close()
                raise RuntimeError("it is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run_loop, args=(self._loop, self._at_end), daemon=True).start()
            # Under the lock, so that it stands in the loop's queue before the end does.
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RuntimeError("it was closed") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancels what runs, and ends the thread. Calling it again is harmless."""
        with self._lock:
            self._is_closed = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None


def _run_loop(loop: asyncio.AbstractEventLoop, at_end: _Ending) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(at_end())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
