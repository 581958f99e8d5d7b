"""Waiting requests, by host: whose turn it is, and which hosts are to be left alone for now."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from beam_recap.fetch.alarms import Alarms
from beam_recap.fetch.breaker import Breakers

Item = TypeVar("Item")


class _Line(Generic[Item]):
    """A double-ended queue, in a fifth of the memory that an almost empty `deque` takes."""

    __slots__ = ("_back", "_front")

    def __init__(self) -> None:
        self._front: list[Item] = []  # the head of the line is its end
        self._back: list[Item] = []

    def __len__(self) -> int:
        return len(self._front) + len(self._back)

    def append(self, item: Item) -> None:
        self._back.append(item)

    def append_first(self, item: Item) -> None:
        self._front.append(item)

    def pop_first(self) -> Item:
        if not self._front:
            self._front, self._back = self._back[::-1], []
        return self._front.pop()

    def take_all(self) -> list[Item]:
        items = self._front[::-1] + self._back
        self._front, self._back = [], []
        return items


class _Host(Generic[Item]):
    """What is known of one host."""

    __slots__ = ("in_turns", "in_urgent", "next_start", "out", "paused_until", "urgent", "waiting")

    def __init__(self) -> None:
        self.waiting: _Line[Item] = _Line()
        self.urgent = 0  # how many at the head of the line were pushed with `first`
        self.out = 0
        self.paused_until = -math.inf
        self.next_start = -math.inf  # by the rate
        self.in_turns = False
        self.in_urgent = False


class Hosts(Generic[Item]):
    """Waiting requests, by host: turns, places, rate, pauses and a circuit breaker.

    Hosts take turns, and within a host it is first come, first served. Calls take O(log n) time in the number of
    hosts, whatever waits; what is known of a host is forgotten when it no longer matters. For one thread.

    Args:
      limit: items of one host that may be out (popped and not yet released) at once, at least 1.
      requests_per_s: items of one host per second; None for no limit. Two of them start at least the reciprocal apart.
      clock: the time in seconds, which never goes back.
    """

    def __init__(
        self, limit: int, *, requests_per_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._gap_s = 1 / requests_per_s if requests_per_s else 0.0
        self._clock = clock
        self._hosts: dict[str, _Host[Item]] = {}
        self._breakers = Breakers()
        # Hosts from which an item may start now. Looked at again when their turn comes: a pause may have come between.
        self._urgent: deque[str] = deque()  # those with an item that was pushed with `first`
        self._turns: deque[str] = deque()
        self._wake = Alarms()  # hosts from which an item may start later
        self._expire = Alarms()  # hosts with nothing waiting or out, to be forgotten when pause and gap are over

    @property
    def known_hosts(self) -> int:
        """How many hosts take up memory, besides the bounded memory of the breakers."""
        return len(self._hosts)

    def push(self, host: str, item: Item, *, first: bool = False) -> None:
        """Adds an item at the end of its host's line; or (`first`) at its head, and gives the host an extra turn.

        The extra turn is for second tries: their deadline runs, and there may be more hosts than turns before it.
        """
        known = self._know(host)
        if first:
            known.waiting.append_first(item)
            known.urgent += 1
        else:
            known.waiting.append(item)
        self._offer(host, known, self._clock())

    def pop(self) -> tuple[str, Item] | None:
        """The next item that may start, with its host, of which it takes a place; None if none may start now.

        It may if its host has a free place, is not paused, not down, and its last start is long enough ago.
        """
        now = self._clock()
        queue = self._next_queue(now)
        if queue is None:
            return None
        host, known = self._take_turn(queue)
        item = known.waiting.pop_first()
        known.urgent = max(0, known.urgent - 1)
        known.out += 1
        if self._gap_s:
            known.next_start = now + self._gap_s
        self._offer(host, known, now)
        return host, item

    def next_at(self) -> float:
        """When a `pop` that gives None now may give something because a pause, a gap or a cool-down is over.

        Returns:
          A time on the clock; the present if `pop` would give something; infinity if only another call changes that.
        """
        now = self._clock()
        return self._wake.first() if self._next_queue(now) is None else now

    def release(self, host: str) -> None:
        """Gives a place back.

        Raises:
          ValueError: no item of this host is out.
        """
        known = self._hosts.get(host)
        if known is None or known.out == 0:
            raise ValueError(f"no item of {host!r} is out")
        known.out -= 1
        self._offer(host, known, self._clock())

    def running(self, host: str) -> int:
        """How many items of this host are out."""
        known = self._hosts.get(host)
        return known.out if known is not None else 0

    def pause(self, host: str, until: float) -> None:
        """Nothing of this host starts before `until`, a time on the clock. The later of two pauses counts."""
        now = self._clock()
        if until > now:
            known = self._know(host)
            known.paused_until = max(known.paused_until, until)
            self._offer(host, known, now)

    def paused_until(self, host: str) -> float:
        """When the pause of a host ends; 0.0 if it is not paused."""
        known = self._hosts.get(host)
        return known.paused_until if known is not None and known.paused_until > self._clock() else 0.0

    def succeeded(self, host: str) -> None:
        """The host gave an HTTP answer, whatever its status: closes the breaker."""
        if self._breakers.succeeded(host) and (known := self._hosts.get(host)) is not None:
            self._offer(host, known, self._clock())

    def failed(self, host: str) -> bool:
        """The host could not be reached: its name is unknown, or it refuses connections or does not answer.

        May be called before `release` or after it.

        Returns:
          Whether this opened the breaker, for the first time or, after a failed probe, again.
        """
        now = self._clock()
        opened = self._breakers.failed(host, now)
        if opened and (known := self._hosts.get(host)) is not None:
            self._offer(host, known, now)
        return opened

    def is_down(self, host: str) -> bool:
        """Whether the breaker is open: nothing is asked of this host for now.

        It is False once the cool-down is over. Then one item at a time is let out, until one of them succeeds.
        """
        until = self._breakers.open_until(host)
        return until is not None and self._clock() < until

    def take_waiting(self, host: str) -> list[Item]:
        """Removes everything that waits for a host, and returns it in order."""
        known = self._hosts.get(host)
        if known is None:
            return []
        waiting = known.waiting.take_all()
        known.urgent = 0
        self._offer(host, known, self._clock())
        return waiting

    def _know(self, host: str) -> _Host[Item]:
        known = self._hosts.get(host)
        if known is None:
            known = self._hosts[host] = _Host()
        return known

    def _ready_at(self, host: str, known: _Host[Item]) -> float:
        """When an item of the host may start; infinity if that depends on a push or a release."""
        open_until = self._breakers.open_until(host)
        # One at a time after a cool-down: a probe that is given back without a verdict makes room for the next.
        limit = self._limit if open_until is None else 1
        if not known.waiting or known.out >= limit:
            return math.inf
        return max(known.paused_until, known.next_start, -math.inf if open_until is None else open_until)

    def _offer(self, host: str, known: _Host[Item], now: float) -> None:
        """Puts a host where it belongs after anything about it has changed. It may stay in a queue by mistake."""
        ready_at = self._ready_at(host, known)
        if ready_at <= now:
            self._wake.clear(host)
            if known.urgent and not known.in_urgent:
                known.in_urgent = True
                self._urgent.append(host)
            if len(known.waiting) > known.urgent and not known.in_turns:
                known.in_turns = True
                self._turns.append(host)
        elif ready_at < math.inf:
            self._wake.set(host, ready_at)
        else:
            self._wake.clear(host)
            self._forget(host, known, now)

    def _forget(self, host: str, known: _Host[Item], now: float) -> None:
        """Forgets a host of which nothing waits or is out, as soon as its pause and gap are over."""
        if known.waiting or known.out or known.in_turns or known.in_urgent:
            return
        until = max(known.paused_until, known.next_start)
        if until > now:
            self._expire.set(host, until)
        else:
            self._expire.clear(host)
            del self._hosts[host]

    def _next_queue(self, now: float) -> deque[str] | None:
        """The queue at whose head is a host from which an item may start now."""
        while (host := self._expire.ring(now)) is not None:
            if (known := self._hosts.get(host)) is not None:
                self._forget(host, known, now)
        while (host := self._wake.ring(now)) is not None:
            self._offer(host, self._hosts[host], now)
        for queue in (self._urgent, self._turns):
            while queue:
                known = self._hosts[queue[0]]
                wanted = known.urgent > 0 or queue is self._turns
                if wanted and self._ready_at(queue[0], known) <= now:
                    return queue
                host, known = self._take_turn(queue)
                self._offer(host, known, now)
        return None

    def _take_turn(self, queue: deque[str]) -> tuple[str, _Host[Item]]:
        host = queue.popleft()
        known = self._hosts[host]
        if queue is self._urgent:
            known.in_urgent = False
        else:
            known.in_turns = False
        return host, known
