"""Hosts that answer 429, or 503 with a date: how long their rows are worth waiting for."""

from __future__ import annotations

from dataclasses import dataclass

from beam_recap.fetch.policy import Verdict
from beam_recap.records import Reason

_MAX_HOSTS = 10_000  # remembered


@dataclass(slots=True)
class _Refusal:
    since: float  # the first one after an answer that was none
    until: float  # when the host may be asked again
    verdict: Verdict


class Refusals:
    """A row waits for a host's pause, but not when it has refused, or asks for a wait, of more than a deadline.

    Without that, a host that asks for an hour would hold its rows, and a window full of them, for an hour.

    Args:
      patience_s: the deadline of one picture.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._hosts: dict[str, _Refusal] = {}

    def add(self, host: str, now: float, until: float, verdict: Verdict) -> tuple[Reason, str] | None:
        """A host asked to be left alone until `until`.

        Returns:
          Why its waiting rows end now; None if they wait.
        """
        known = self._hosts.pop(host, None)
        if known is None or now > known.until + self._patience_s:  # the last time is long ago
            known = _Refusal(now, until, verdict)
        known.until, known.verdict = max(known.until, until), verdict
        self._hosts[host] = known
        if len(self._hosts) > _MAX_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        return self.of(host, known.until, now)

    def of(self, host: str, paused_until: float, now: float) -> tuple[Reason, str] | None:
        """Why rows of a host are not worth waiting for while it is paused; None if they are.

        Args:
          host: any.
          paused_until: 0 if it is not paused.
          now: the time.
        """
        known = self._hosts.get(host)
        if paused_until <= (known.since if known is not None else now) + self._patience_s:
            return None
        if known is None:  # forgotten for lack of room
            return Reason.HTTP_429, f"{host} asked to be left alone"
        return known.verdict.reason, f"{host} asked to be left alone: {known.verdict.detail}"

    def forget(self, host: str) -> None:
        """It answered."""
        self._hosts.pop(host, None)
