"""The fetcher's thread: runs the transfers that `Traffic` lets through, and sees to it that each request ends."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import pycurl

from beam_recap.fetch import policy
from beam_recap.fetch.byte_budget import ByteBudget
from beam_recap.fetch.engine import CurlEngine
from beam_recap.fetch.request import Receiver, Request
from beam_recap.fetch.settings import FetchResult, FetchSettings
from beam_recap.fetch.traffic import Traffic
from beam_recap.fetch.transfer import Transfer
from beam_recap.isolation import describe_error
from beam_recap.records import Reason

logger = logging.getLogger(__name__)

_BATCH = 16  # bodies

# Host and port to IP addresses; OSError where there are none.
Resolver = Callable[[str, int], Sequence[str]]


class TransferLoop:
    """Owns the thread, and everything that only the thread may touch.

    Args:
      settings: the limits.
      certificates: path of the CA bundle.
      resolver: looks up names instead of the system, on the thread. For tests.
    """

    def __init__(self, settings: FetchSettings, certificates: str, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._certificates = certificates
        self._resolver = resolver
        # Shared with other threads.
        self._lock = threading.Lock()
        self._inbox: deque[Request] = deque()  # under the lock
        self._closing = False  # under the lock
        self._given_back: deque[Request] = deque()
        self._is_short = False  # of memory: waits for something to be given back
        self._wake_here, self._wake_there = socket.socketpair()
        for end in (self._wake_here, self._wake_there):
            end.setblocking(False)
        # The thread's own.
        self._open: set[Request] = set()  # taken from the inbox, without a result
        self._reset()
        self._thread = threading.Thread(target=self._run, name="beam-recap-fetcher", daemon=True)
        self._thread.start()

    def _reset(self) -> None:
        self._traffic = Traffic(self._settings, self._finish)
        self._budget: ByteBudget[Request] = ByteBudget(self._settings.ahead_bytes)
        self._idle: list[Transfer] = []
        self._running: dict[Request, Transfer] = {}
        self._request_of: dict[pycurl.Curl, Request] = {}
        self._transfers: list[Transfer] = []

    # Called by other threads.

    def submit(self, url: str, receiver: Receiver) -> Request:
        """Starts fetching a URL as soon as it may; `receiver` is told the result."""
        request = Request(url, receiver)
        with self._lock:
            if self._closing:
                raise RuntimeError("the fetcher is closed")
            was_empty = not self._inbox
            self._inbox.append(request)
        if was_empty:
            self._wake()
        return request

    def give_back(self, request: Request) -> None:
        """The body of a request whose receiver `holds` is now somebody else's.

        When memory is short the thread learns of it in batches: waking it up costs more than a small picture's memory
        is worth. `settle` tells it of a batch that is not full.
        """
        self._given_back.append(request)
        if self._is_short and len(self._given_back) >= _BATCH:
            self._wake()

    def settle(self) -> None:
        """To be called by whoever finds no result: what was given back so far can make room for one."""
        if self._is_short and self._given_back:
            self._wake()

    def close(self, wait_s: float = 5.0) -> None:
        """Ends everything that is open, as CONNECTION_ERROR, and then the thread."""
        with self._lock:
            self._closing = True
        self._wake()
        if not self.is_own_thread():
            self._thread.join(wait_s)  # a name lookup under way can keep libcurl from closing

    def is_own_thread(self) -> bool:
        """Whether the caller runs on the fetcher's thread."""
        return threading.current_thread() is self._thread

    def _wake(self) -> None:
        try:
            self._wake_there.send(b"\0")
        except OSError:  # full, so it will wake anyway; or closed
            return

    # The thread.

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._run_engine()
                except Exception:
                    logger.exception("The fetcher failed; what it was doing ended as an error, and it starts afresh")
                    time.sleep(0.1)  # in case it happens again and again
        finally:
            with self._lock:
                self._closing = True
            self._end_all("the fetcher was closed")
            self._wake_here.close()
            self._wake_there.close()

    def _run_engine(self) -> None:
        """Runs until the fetcher is closed; an exception ends everything open and leaves nothing behind."""
        with contextlib.ExitStack() as stack:
            try:
                self._reset()
                share = _make_share()
                stack.callback(share.close)
                engine = CurlEngine(self._wake_here, self._settings.concurrency)
                stack.callback(engine.close)
                stack.callback(self._close_transfers)
                while not self._closing:
                    self._turn(engine, share)
                self._end_all("the fetcher was closed")  # before libcurl closes, which can take a while
            except Exception as error:
                self._end_all(f"internal error: {describe_error(error)}")
                raise

    def _turn(self, engine: CurlEngine, share: pycurl.CurlShare) -> None:
        self._take_inbox()
        self._take_given_back(engine)
        for request in self._traffic.run_timers():
            self._stop(engine, request)
        self._start_transfers(engine, share)
        has_room = self._budget.has_room()
        self._is_short = self._budget.has_refused or not has_room
        may_start = has_room and len(self._running) < self._settings.concurrency
        # Looked at after `_is_short` is set: what is given back from now on wakes us.
        wait_s = 0.0 if self._given_back else self._traffic.seconds_to_next(may_start=may_start)
        for curl, number, message in engine.turn(wait_s):
            self._on_ended(engine, curl, number, message)

    def _close_transfers(self) -> None:
        for transfer in self._transfers:
            transfer.close()

    def _take_inbox(self) -> None:
        while self._inbox:
            with self._lock:
                requests = list(self._inbox)
                self._inbox.clear()
                self._open.update(requests)
            for request in requests:
                self._traffic.add(request)

    def _take_given_back(self, engine: CurlEngine) -> None:
        while self._given_back:
            self._budget.leave(self._given_back.popleft())
        if self._budget.has_refused:
            self._resume_paused(engine)

    def _resume_paused(self, engine: CurlEngine) -> None:
        for request in self._budget.take_refused():
            transfer = self._running.get(request)
            if transfer is None or not transfer.is_paused:
                continue
            try:
                request.deadline += transfer.resume()  # the pause was ours, not the server's
            except pycurl.error as error:
                number, message = (*error.args, "")[:2]
                self._on_ended(engine, transfer.curl, number, message)

    def _start_transfers(self, engine: CurlEngine, share: pycurl.CurlShare) -> None:
        while len(self._running) < self._settings.concurrency and self._budget.has_room():
            sent = self._traffic.next()
            if sent is None:
                return
            request, remaining_s = sent
            assert request.url is not None
            self._budget.start(request)
            transfer = self._idle.pop() if self._idle else self._new_transfer(share)
            request.is_running = True
            self._running[request] = transfer
            self._request_of[transfer.curl] = request
            transfer.start(request, remaining_s)
            engine.add(transfer.curl, request.url.host)

    def _new_transfer(self, share: pycurl.CurlShare) -> Transfer:
        transfer = Transfer(self._settings, share, self._budget, self._certificates, self._resolver)
        self._transfers.append(transfer)
        return transfer

    def _stop(self, engine: CurlEngine, request: Request) -> None:
        """Its time is up. One that waits for memory gets the time back that it waits."""
        transfer = self._running[request]
        if transfer.is_paused:
            request.deadline += transfer.paused_s()
            self._traffic.watch(request)
        else:
            self._on_ended(engine, transfer.curl, pycurl.E_OPERATION_TIMEDOUT, "stopped at the deadline")

    def _on_ended(self, engine: CurlEngine, curl: pycurl.Curl, number: int, message: str) -> None:
        request = self._request_of.pop(curl, None)
        if request is None:  # ended in two ways at once
            return
        transfer = self._running.pop(request)
        request.is_running = False
        ending = transfer.end(number, message)
        engine.remove(curl)
        self._idle.append(transfer)
        if ending.body is not None and request.receiver is not None and request.receiver.holds:
            self._budget.finish(request)
        else:
            self._budget.leave(request)
        self._traffic.ended(request, ending)
        if self._budget.has_refused:
            self._resume_paused(engine)

    def _finish(self, request: Request, result: FetchResult) -> None:
        self._open.discard(request)
        receiver, request.receiver = request.receiver, None
        if receiver is None:
            return
        try:
            receiver.done(request, result)
        except BaseException:  # not even SystemExit may stop the thread that others wait for
            logger.exception("The receiver of a fetched picture failed")

    def _end_all(self, detail: str) -> None:
        with self._lock:
            waiting = list(self._inbox)  # what receivers submit from here on is not ended with the rest
            self._inbox.clear()
        for request in [*self._open, *waiting]:
            result = FetchResult(
                None, Reason.CONNECTION_ERROR, policy.clean_detail(detail), None, None, request.attempts
            )
            self._finish(request, result)


def _make_share() -> pycurl.CurlShare:
    """Names and TLS sessions are kept for all transfers."""
    share = pycurl.CurlShare()
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)
    return share
