"""Hosts that answer 429, or 503 with a date: when to leave them alone, and when to stop waiting for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beam_recap.fetch.policy import Verdict
from beam_recap.records import Reason

# One refusal among answers concerns its URL; so many in a row, or one with nothing else under way, the whole host.
REFUSALS_TO_PAUSE = 3

MAX_PAUSE_S = 600.0  # as the longest rest of a host that is down

_MAX_HOSTS = 10_000  # remembered


@dataclass(slots=True)
class _Host:
    streak: int = 0  # refusals without another answer between them
    since: float = math.inf  # the first pause without an answer after it
    until: float = 0.0  # when the host may be asked again
    limit: float = 0.0  # of `until`, for refusals that come before it
    reason: Reason = Reason.HTTP_429
    detail: str = ""


class Refusals:
    """Pauses a host for as long as it asks, but at first for no longer than a picture's deadline, and then tries again.

    If it refuses then, too, and so for longer than a deadline in all, its rows end. Without that, a host that asks for
    an hour would hold its rows, and a window full of them, for an hour; and without the second try one URL's
    `Retry-After` would cost all the others of its host.

    Args:
      patience_s: the deadline of one picture.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._hosts: dict[str, _Host] = {}

    def refused(self, host: str, verdict: Verdict, wait_s: float, now: float, *, is_alone: bool) -> float | None:
        """A host refused a request.

        Args:
          host: which.
          verdict: how.
          wait_s: seconds that it asks for, or that are usual.
          now: the time.
          is_alone: nothing else is under way to this host.

        Returns:
          Until when the whole host is to be left alone; None if it need not.
        """
        known = self._hosts.pop(host, None) or _Host()
        self._hosts[host] = known
        if len(self._hosts) > _MAX_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        known.streak += 1
        known.reason, known.detail = verdict.reason, verdict.detail
        if known.streak < REFUSALS_TO_PAUSE and not is_alone:
            return None
        if known.since == math.inf or now > known.until + self._patience_s:  # or the last time is long ago
            known.since = now
            known.limit = now + self._patience_s
        elif now >= known.until:  # it was left alone, and refuses again
            known.limit = now + MAX_PAUSE_S
        known.until = max(known.until, min(now + wait_s, known.limit))
        return known.until

    def end_of(self, host: str, paused_until: float) -> tuple[Reason, str] | None:
        """Why rows of a host are not worth waiting for while it is paused; None if they are.

        Args:
          host: any.
          paused_until: 0 if it is not paused.
        """
        known = self._hosts.get(host)
        if known is None or paused_until <= known.since + self._patience_s:
            return None
        return known.reason, f"{host} asked to be left alone: {known.detail}"

    def answered(self, host: str) -> None:
        """It gave another answer than a refusal, and is not paused."""
        self._hosts.pop(host, None)
