"""Holds requests back until their origin's robots.txt has been read, and stops those that it disallows (RFC 9309)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from beam_recap.fetch.request import Request
from beam_recap.fetch.robots import ALLOW_ALL, RobotsCache, RobotsRules, parse_robots, robots_url, rules_for_status
from beam_recap.fetch.settings import FetchResult
from beam_recap.records import MAX_DETAIL_CHARS, Reason

# A file that could not be had is asked for again after this; until then its origin's rows end for the same reason.
_UNREACHABLE_S = 60.0


class RobotsGate:
    """For one thread.

    Args:
      agent: the name by which files address us.
      ask: sends a request for a robots.txt.
      enter: is given a request again when its origin's file has been read.
      finish: takes the result of a request that may not be sent.
      clock: the time in seconds.
    """

    holds = False  # as a `Receiver`
    wanted = True

    def __init__(
        self,
        agent: str,
        ask: Callable[[Request], None],
        enter: Callable[[Request], None],
        finish: Callable[[Request, FetchResult], None],
        clock: Callable[[], float],
    ) -> None:
        self._agent = agent
        self._ask = ask
        self._enter = enter
        self._finish = finish
        self._rules: RobotsCache[RobotsRules | FetchResult] = RobotsCache(clock=clock)
        self._waiting: dict[str, list[Request]] = {}  # by origin whose file has been asked for

    def admits(self, request: Request) -> bool:
        """Whether a request may be sent now. If not, it has its result, or waits and is entered again."""
        assert request.url is not None
        origin = request.url.origin
        rules = self._rules.get(origin)
        if rules is None:
            is_first = origin not in self._waiting
            self._waiting.setdefault(origin, []).append(request)
            if is_first:
                self._ask(Request(robots_url(request.url.text), self, for_robots=origin))
            return False
        if isinstance(rules, FetchResult):
            self._finish(request, dataclasses.replace(rules, attempts=request.attempts))
            return False
        if not rules.allows(request.url.text):
            detail = f"{origin}/robots.txt disallows it for {self._agent}"
            self._finish(request, FetchResult(None, Reason.ROBOTS_TXT, detail, None, None, request.attempts))
            return False
        return True

    def done(self, request: Request, result: FetchResult) -> None:
        """A robots.txt has come, or has not."""
        origin = request.for_robots or ""
        rules = self._read(result)
        if isinstance(rules, FetchResult):
            self._rules.put(origin, rules, ttl_s=_UNREACHABLE_S)
        else:
            self._rules.put(origin, rules)
        for waiting in self._waiting.pop(origin, []):
            if waiting.is_open:
                self._enter(waiting)

    def _read(self, result: FetchResult) -> RobotsRules | FetchResult:
        if result.body is not None:
            return parse_robots(result.body, self._agent)
        rules = rules_for_status(result.http_status) if result.http_status is not None else None
        if result.reason == Reason.EMPTY_BODY:
            rules = ALLOW_ALL
        if rules is not None:
            return rules
        detail = f"robots.txt: {result.detail}"[:MAX_DETAIL_CHARS]
        return dataclasses.replace(result, detail=detail, http_status=None, final_url=None)
