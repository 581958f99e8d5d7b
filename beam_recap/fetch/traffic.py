"""The rules of the road: which request may be sent when, and what follows from how it ended.

No sockets and no threads here. `TransferLoop` asks what to send, and says how it ended.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable

from beam_recap.fetch import policy
from beam_recap.fetch.addresses import is_private_literal
from beam_recap.fetch.hosts import Hosts
from beam_recap.fetch.refusals import Refusals
from beam_recap.fetch.request import Request
from beam_recap.fetch.robots_gate import RobotsGate
from beam_recap.fetch.settings import FetchResult, FetchSettings
from beam_recap.fetch.transfer import Ending
from beam_recap.fetch.urls import BadUrl, HttpUrl, read_reference, read_url
from beam_recap.isolation import describe_error
from beam_recap.records import Reason

Finish = Callable[[Request, FetchResult], None]


class Traffic:
    """Queues requests by host, follows their redirects, tries again, and gives up on hosts. For one thread.

    Args:
      settings: the limits.
      finish: takes each request's result, exactly once.
      clock: the time in seconds, which never goes back.
    """

    def __init__(self, settings: FetchSettings, finish: Finish, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._finish = finish
        self._clock = clock
        self._hosts: Hosts[Request] = Hosts(
            settings.connections_per_host, requests_per_s=settings.host_requests_per_s, clock=clock
        )
        self._refusals = Refusals(settings.timeout_s)
        self._robots = (
            RobotsGate(settings.agent, self.add, self._enter, finish, clock) if settings.obey_robots_txt else None
        )
        self._timers: list[tuple[float, int, Request]] = []
        self._ticket = itertools.count()

    def add(self, request: Request) -> None:
        """A new request: refused at once, or in line."""
        try:
            url = read_url(request.given)
        except Exception as error:  # a URL must not end the others' transfers, whatever is wrong with it
            url = BadUrl(f"cannot be read: {describe_error(error)}")
        if isinstance(url, BadUrl):
            self._finish(request, _failure(request, Reason.INVALID_URL, f"the URL {url.problem}"))
        else:
            request.url = url
            self._enter(request)

    def next(self) -> tuple[Request, float] | None:
        """The next request that is to be sent, and the seconds it has; None if none may be sent now."""
        while (popped := self._hosts.pop()) is not None:
            host, request = popped
            now = self._clock()
            if request.receiver is not None and request.receiver.wanted and now < request.deadline:
                if request.deadline == math.inf:
                    request.deadline = now + self._settings.timeout_s
                    self.watch(request)
                if not request.is_redirected:
                    request.attempts += 1
                return request, request.deadline - now
            self._hosts.release(host)
            self._end_late(request)
        return None

    def seconds_to_next(self, *, may_start: bool) -> float:
        """How long nothing is due: no deadline, no second try, and no end of a host's pause.

        Args:
          may_start: there is room for another transfer; without it the hosts' pauses do not matter.
        """
        when = self._timers[0][0] if self._timers else math.inf
        if may_start:
            when = min(when, self._hosts.next_at())
        return max(0.0, when - self._clock())

    def run_timers(self) -> list[Request]:
        """Does what is due.

        Returns:
          The requests whose deadline has passed while their transfer runs: it is to be stopped.
        """
        overdue: list[Request] = []
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            _, _, request = heapq.heappop(self._timers)
            if not request.is_open:
                continue
            if now >= request.deadline:
                if request.is_running:
                    overdue.append(request)
                else:
                    self._end_late(request)
            elif request.retry_at <= now:
                request.retry_at = math.inf
                self._enter(request, first=True)
            else:  # it got more time, because it had to pause for lack of memory
                self.watch(request)
        return overdue

    def watch(self, request: Request) -> None:
        """`run_timers` will look at it at its deadline."""
        self._set_timer(request.deadline, request)

    def ended(self, request: Request, ending: Ending) -> None:
        """A transfer is over: gives the result, goes where it is redirected to, or arranges for another try."""
        assert request.url is not None
        host, verdict = request.url.server, ending.verdict
        self._hosts.release(host)
        if ending.http_status and not (verdict and verdict.host_failed):
            self._hosts.succeeded(host)
        refuses = verdict is not None and (verdict.reason == Reason.HTTP_429 or ending.retry_after_s > 0)
        if ending.http_status and not refuses and not self._hosts.paused_until(host):
            self._refusals.answered(host)  # during a pause it is an answer to what was under way
        if verdict is None:
            if ending.redirect_to is not None:
                self._redirect(request, ending)
            else:
                self._finish(
                    request,
                    FetchResult(ending.body, None, "", ending.http_status, request.url.text, request.attempts),
                )
            return
        request.last = FetchResult(
            None, verdict.reason, verdict.detail, ending.http_status, request.url.text, request.attempts
        )
        if verdict.host_failed and self._hosts.failed(host):
            self._end_waiting(host, Reason.HOST_DOWN, f"{host} failed again and again, last: {verdict.detail}")
        if refuses:
            self._pause(host, verdict, policy.retry_wait_s(request.attempts, ending.retry_after_s))
        if verdict.retry:
            self._retry(request, host, ending.retry_after_s)
        else:
            self._finish(request, request.last)

    def _enter(self, request: Request, first: bool = False) -> None:
        """Puts a request in the line of its URL's host, unless that may not, or cannot, be asked."""
        assert request.url is not None
        url = request.url
        refusal = self._refuse(url)
        if refusal is not None:
            # A second try that is not made leaves the first one's reason.
            self._finish(request, request.last or _failure(request, *refusal))
        elif self._robots is None or request.for_robots or self._robots.admits(request):
            self._hosts.push(url.server, request, first=first)

    def _refuse(self, url: HttpUrl) -> tuple[Reason, str] | None:
        settings = self._settings
        if not settings.allow_private_hosts and is_private_literal(url.host):
            return Reason.PRIVATE_ADDRESS, f"{url.host} is not a public address"
        if settings.ports and url.port not in settings.ports and not settings.allow_private_hosts:
            return Reason.INVALID_URL, f"port {url.port} is none of {', '.join(map(str, settings.ports))}"
        if self._hosts.is_down(url.server):
            return Reason.HOST_DOWN, f"{url.server} failed again and again, and is not asked for a while"
        return self._refusals.end_of(url.server, self._hosts.paused_until(url.server))

    def _redirect(self, request: Request, ending: Ending) -> None:
        assert request.url is not None
        request.visited.add(request.url.text)
        request.redirects += 1
        url = read_reference(request.url, ending.redirect_to or "")
        problem: tuple[Reason, str] | None = None
        if isinstance(url, BadUrl):
            problem = Reason.INVALID_URL, f"redirected to a URL that {url.problem}"
        elif url.text in request.visited:
            problem = Reason.REDIRECT_LOOP, f"redirected in a circle to {url.text}"
        elif request.redirects > self._settings.max_redirects:
            problem = Reason.REDIRECT_LOOP, f"more than {self._settings.max_redirects} redirects"
        if problem is not None or isinstance(url, BadUrl):
            reason, detail = problem or (Reason.INVALID_URL, "")
            self._finish(request, _failure(request, reason, detail, ending.http_status))
            return
        request.url = url
        request.is_redirected = True
        request.last = None
        self._enter(request, first=True)

    def _pause(self, host: str, verdict: policy.Verdict, wait_s: float) -> None:
        """Leaves a host alone that asked for it, or whose rows are not worth waiting for."""
        is_alone = not self._hosts.running(host)
        until = self._refusals.refused(host, verdict, wait_s, self._clock(), is_alone=is_alone)
        if until is not None:
            self._hosts.pause(host, until)
            end = self._refusals.end_of(host, until)
            if end is not None:
                self._end_waiting(host, *end)

    def _retry(self, request: Request, host: str, retry_after_s: float) -> None:
        """Tries again later, if there is time."""
        assert request.last is not None
        now = self._clock()
        wait_s = policy.retry_wait_s(request.attempts, retry_after_s)
        if request.attempts > self._settings.retries or now + wait_s >= request.deadline or self._hosts.is_down(host):
            self._finish(request, request.last)
            return
        request.is_redirected = False
        request.retry_at = now + wait_s
        self._set_timer(request.retry_at, request)

    def _end_waiting(self, host: str, reason: Reason, detail: str) -> None:
        for request in self._hosts.take_waiting(host):
            if request.is_open:
                self._finish(request, request.last or _failure(request, reason, detail))

    def _end_late(self, request: Request) -> None:
        if request.is_open:
            self._finish(request, request.last or _failure(request, Reason.TIMEOUT, "no time left"))

    def _set_timer(self, when: float, request: Request) -> None:
        heapq.heappush(self._timers, (when, next(self._ticket), request))


def _failure(request: Request, reason: Reason, detail: str, http_status: int | None = None) -> FetchResult:
    url = request.url.text if request.url is not None and request.attempts else None
    return FetchResult(None, reason, policy.clean_detail(detail), http_status, url, request.attempts)
