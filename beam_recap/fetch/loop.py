"""The fetcher's thread: which request runs when, which is tried again, and that each ends in exactly one result."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pycurl

from beam_recap.fetch import policy
from beam_recap.fetch.byte_budget import ByteBudget
from beam_recap.fetch.engine import CurlEngine
from beam_recap.fetch.host_queue import HostQueue
from beam_recap.fetch.settings import FetchResult, FetchSettings
from beam_recap.fetch.transfer import Transfer
from beam_recap.fetch.urls import BadUrl, read_url
from beam_recap.isolation import describe_error
from beam_recap.records import Reason

logger = logging.getLogger(__name__)

# libcurl ends a transfer at its deadline by itself; after this grace we do.
_GRACE_S = 0.5


@dataclass(slots=True, eq=False)
class _Request:
    """One URL on its way to one result."""

    given: str
    done: Callable[[FetchResult], None] | None  # None once called
    url: str = ""  # as it is asked for
    host: str = ""
    attempts: int = 0
    deadline: float = math.inf  # on the monotonic clock; set when the first transfer starts
    last: FetchResult | None = None  # of the last try
    transfer: Transfer | None = None  # while it runs


class TransferLoop:
    """Owns the thread, and everything that only the thread may touch.

    Args:
      settings: the limits.
      certificates: path of the CA bundle.
    """

    def __init__(self, settings: FetchSettings, certificates: str) -> None:
        self._settings = settings
        self._certificates = certificates
        # Shared with other threads, under the lock.
        self._lock = threading.Lock()
        self._inbox: deque[_Request] = deque()
        self._closing = False
        self._wake_here, self._wake_there = socket.socketpair()
        for end in (self._wake_here, self._wake_there):
            end.setblocking(False)
        # The thread's own.
        self._open: set[_Request] = set()  # taken from the inbox, without a result
        self._ticket = itertools.count()
        self._reset()
        self._thread = threading.Thread(target=self._run, name="beam-recap-fetcher", daemon=True)
        self._thread.start()

    def _reset(self) -> None:
        self._queue: HostQueue[_Request] = HostQueue(self._settings.connections_per_host)
        self._budget: ByteBudget[Transfer] = ByteBudget(self._settings.ahead_bytes)
        self._timers: list[tuple[float, int, Callable[[CurlEngine, _Request], None], _Request]] = []
        self._idle: list[Transfer] = []
        self._running: dict[pycurl.Curl, tuple[_Request, Transfer]] = {}
        self._transfers: list[Transfer] = []

    # Called by other threads.

    def submit(self, url: str, done: Callable[[FetchResult], None]) -> None:
        """See `Fetcher.submit`."""
        with self._lock:
            if self._closing:
                raise RuntimeError("the fetcher is closed")
            self._inbox.append(_Request(url, done))
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
                    self._take_inbox()
                    self._run_timers(engine)
                    self._start_transfers(engine, share)
                    for curl, number, message in engine.turn(self._seconds_to_timer()):
                        self._on_ended(engine, curl, number, message)
                self._end_all("the fetcher was closed")  # before libcurl closes, which can take a while
            except Exception as error:
                self._end_all(f"internal error: {describe_error(error)}")
                raise

    def _close_transfers(self) -> None:
        for transfer in self._transfers:
            transfer.close()

    def _take_inbox(self) -> None:
        while self._inbox:
            request = self._inbox.popleft()
            self._open.add(request)
            try:
                url = read_url(request.given)
            except Exception as error:  # a URL must not end the others' transfers, whatever is wrong with it
                url = BadUrl(f"cannot be read: {describe_error(error)}")
            if isinstance(url, BadUrl):
                self._finish(request, _failure(Reason.INVALID_URL, f"the URL {url.problem}"))
            else:
                request.url, request.host = url.text, url.host
                self._queue.push(url.host, request)

    def _start_transfers(self, engine: CurlEngine, share: pycurl.CurlShare) -> None:
        while len(self._running) < self._settings.concurrency and not self._budget.is_spent:
            popped = self._queue.pop()
            if popped is None:
                return
            host, request = popped
            now = time.monotonic()
            if request.done is None or request.deadline <= now:  # its time ran out as it waited for another try
                self._queue.release(host)
                self._on_overdue(engine, request)
                continue
            if request.attempts == 0:
                request.deadline = now + self._settings.timeout_s
                self._at(request.deadline + _GRACE_S, self._on_overdue, request)
            request.attempts += 1
            transfer = self._idle.pop() if self._idle else self._new_transfer(share)
            request.transfer = transfer
            self._running[transfer.curl] = request, transfer
            self._budget.join(transfer)
            transfer.start(request.url, request.deadline - now)
            engine.add(transfer.curl, host)

    def _new_transfer(self, share: pycurl.CurlShare) -> Transfer:
        transfer = Transfer(self._settings, share, self._budget, self._certificates)
        self._transfers.append(transfer)
        return transfer

    def _on_ended(self, engine: CurlEngine, curl: pycurl.Curl, number: int, message: str) -> None:
        """A transfer is over: gives the result, or arranges for another try."""
        if curl not in self._running:  # ended in two ways at once
            return
        request, transfer = self._running.pop(curl)
        ending = transfer.end(number, message)
        engine.remove(curl)
        request.transfer = None
        self._idle.append(transfer)
        self._queue.release(request.host)
        self._budget.leave(transfer)
        self._resume_paused(engine)
        if ending.verdict is None:
            self._finish(
                request, FetchResult(ending.body, None, "", ending.http_status, ending.final_url, request.attempts)
            )
            return
        verdict = ending.verdict
        request.last = FetchResult(
            None, verdict.reason, verdict.detail, ending.http_status, ending.final_url, request.attempts
        )
        if verdict.retry and request.attempts <= self._settings.retries:
            again_at = time.monotonic() + policy.retry_wait_s(request.attempts, ending.retry_after_s)
            if again_at < request.deadline:
                self._at(again_at, self._on_retry, request)
                return
        self._finish(request, request.last)

    def _resume_paused(self, engine: CurlEngine) -> None:
        for transfer in self._budget.holders():
            try:
                transfer.resume()
            except pycurl.error as error:
                number, message = (*error.args, "")[:2]
                self._on_ended(engine, transfer.curl, number, message)

    def _on_retry(self, engine: CurlEngine, request: _Request) -> None:
        self._queue.push(request.host, request, first=True)

    def _on_overdue(self, engine: CurlEngine, request: _Request) -> None:
        """Its time is up, wherever it hangs."""
        if request.done is None:
            return
        if request.transfer is not None:
            self._on_ended(engine, request.transfer.curl, pycurl.E_OPERATION_TIMEDOUT, "stopped at the deadline")
        else:
            self._finish(request, request.last or _failure(Reason.TIMEOUT, "no time left", request.attempts))

    def _at(self, when: float, act: Callable[[CurlEngine, _Request], None], request: _Request) -> None:
        heapq.heappush(self._timers, (when, next(self._ticket), act, request))

    def _run_timers(self, engine: CurlEngine) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, _, act, request = heapq.heappop(self._timers)
            act(engine, request)

    def _seconds_to_timer(self) -> float:
        return self._timers[0][0] - time.monotonic() if self._timers else math.inf

    def _finish(self, request: _Request, result: FetchResult) -> None:
        self._open.discard(request)
        done, request.done = request.done, None
        if done is None:
            return
        try:
            done(result)
        except BaseException:  # not even SystemExit may stop the thread that others wait for
            logger.exception("The receiver of a fetched picture failed")

    def _end_all(self, detail: str) -> None:
        with self._lock:
            waiting = list(self._inbox)  # what receivers submit from here on is not ended with the rest
            self._inbox.clear()
        for request in [*self._open, *waiting]:
            self._finish(request, _failure(Reason.CONNECTION_ERROR, detail, request.attempts))


def _make_share() -> pycurl.CurlShare:
    """Names and TLS sessions are kept for all transfers."""
    share = pycurl.CurlShare()
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)
    return share


def _failure(reason: Reason, detail: str, attempts: int = 0) -> FetchResult:
    return FetchResult(None, reason, policy.clean_detail(detail), None, None, attempts)
