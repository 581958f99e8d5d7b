"""`Hosts` against a slow and obvious model: turns, places, rates, pauses and breakers in any order."""

from __future__ import annotations

import math
from collections import Counter, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from beam_recap.fetch.breaker import FAILURES_TO_OPEN, FIRST_COOL_DOWN_S, MAX_COOL_DOWN_S
from beam_recap.fetch.hosts import Hosts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


HOSTS = st.sampled_from(["a", "b", "c"])


class ModelOfHosts(RuleBasedStateMachine):
    """Compares `Hosts` with lists that are searched."""

    @initialize(limit=st.integers(1, 3), gap=st.sampled_from([0.0, 0.5, 2.0]))
    def start(self, limit: int, gap: float) -> None:
        self.clock = Clock()
        self.limit, self.gap = limit, gap
        self.hosts: Hosts[int] = Hosts(limit, requests_per_s=1 / gap if gap else None, clock=self.clock)
        self.next_item = 0
        self.waiting: dict[str, deque[int]] = {host: deque() for host in "abc"}
        self.out: Counter[str] = Counter()
        self.last_start = dict.fromkeys("abc", -math.inf)
        self.paused = dict.fromkeys("abc", 0.0)
        self.failures: Counter[str] = Counter()
        self.cool_down = dict.fromkeys("abc", 0.0)
        self.open_until = dict.fromkeys("abc", -math.inf)
        self.passed_over: Counter[str] = Counter()  # starts of others since the host could first have started
        self.firsts = 0

    def ready_at(self, host: str) -> float:
        limit = 1 if self.cool_down[host] else self.limit
        if not self.waiting[host] or self.out[host] >= limit:
            return math.inf
        return max(self.last_start[host] + self.gap, self.paused[host], self.open_until[host])

    @rule(host=HOSTS, first=st.booleans(), count=st.integers(1, 3))
    def push(self, host: str, first: bool, count: int) -> None:
        for _ in range(count):
            item, self.next_item = self.next_item, self.next_item + 1
            self.hosts.push(host, item, first=first)
            if first:
                self.waiting[host].appendleft(item)
                self.firsts += 1
            else:
                self.waiting[host].append(item)

    @rule()
    def pop(self) -> None:
        ready = {host for host in "abc" if self.ready_at(host) <= self.clock.now}
        for host in set("abc") - ready:
            self.passed_over[host] = 0
        popped = self.hosts.pop()
        if popped is None:
            assert not ready
            return
        host, item = popped
        assert host in ready
        assert item == self.waiting[host].popleft()
        self.out[host] += 1
        self.last_start[host] = self.clock.now
        self.passed_over[host] = 0
        for other in ready - {host}:
            self.passed_over[other] += 1
            # Two other hosts have a turn each; besides, items that were pushed first have turns of their own, and a
            # host that became ready without anyone asking joins those in line when somebody does.
            assert self.passed_over[other] <= 4 + self.firsts

    @precondition(lambda self: self.out.total())
    @rule(data=st.data(), verdict=st.sampled_from(["none", "good", "bad"]), release_first=st.booleans())
    def release(self, data: st.DataObject, verdict: str, release_first: bool) -> None:
        host = data.draw(st.sampled_from(sorted(self.out.elements())))
        if release_first:
            self.hosts.release(host)
        self.report(host, verdict)
        if not release_first:
            self.hosts.release(host)
        self.out[host] -= 1

    @rule(host=HOSTS, times=st.integers(1, FAILURES_TO_OPEN + 1))
    def fail(self, host: str, times: int) -> None:
        for _ in range(times):
            self.report(host, "bad")

    def report(self, host: str, verdict: str) -> None:
        self.passed_over[host] = 0
        if verdict == "good":
            self.hosts.succeeded(host)
            self.failures[host] = 0
            self.cool_down[host] = 0.0
            self.open_until[host] = -math.inf
        elif verdict == "bad":
            self.failures[host] += 1
            opens = self.failures[host] >= FAILURES_TO_OPEN and self.clock.now >= self.open_until[host]
            assert self.hosts.failed(host) == opens
            if opens:
                self.cool_down[host] = min(2 * self.cool_down[host] or FIRST_COOL_DOWN_S, MAX_COOL_DOWN_S)
                self.open_until[host] = self.clock.now + self.cool_down[host]

    @rule(host=HOSTS, seconds=st.sampled_from([-1.0, 0.0, 0.25, 3.0, 100.0]))
    def pause(self, host: str, seconds: float) -> None:
        self.passed_over[host] = 0
        self.hosts.pause(host, self.clock.now + seconds)
        self.paused[host] = max(self.paused[host], self.clock.now + seconds)

    @rule(host=HOSTS)
    def take_waiting(self, host: str) -> None:
        assert self.hosts.take_waiting(host) == list(self.waiting[host])
        self.waiting[host].clear()
        self.passed_over[host] = 0

    @rule(seconds=st.sampled_from([0.25, 0.5, 2.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def pass_time_until_something_may_start(self) -> None:
        next_at = self.hosts.next_at()
        if self.clock.now < next_at < math.inf:
            self.clock.now = next_at
        if next_at < math.inf:
            assert any(self.ready_at(host) <= self.clock.now for host in "abc")
            self.pop()

    @rule()
    def next_at_is_true(self) -> None:
        assert self.hosts.next_at() == max(self.clock.now, min(self.ready_at(host) for host in "abc"))

    @invariant()
    def says_what_it_knows(self) -> None:
        if not hasattr(self, "hosts"):
            return
        for host in "abc":
            assert self.out[host] <= self.limit
            assert self.hosts.is_down(host) == (self.clock.now < self.open_until[host])
            paused = self.paused[host]
            assert self.hosts.paused_until(host) == (paused if paused > self.clock.now else 0.0)

    def teardown(self) -> None:
        """Everything comes out in the end, and then nothing is remembered."""
        if not hasattr(self, "hosts"):
            return
        while any(self.waiting.values()):
            for host in list(self.out.elements()):
                self.hosts.release(host)
                self.out[host] -= 1
            next_at = self.hosts.next_at()
            assert next_at < math.inf
            self.clock.now = max(self.clock.now, next_at)
            self.pop()
        for host in self.out.elements():
            self.hosts.release(host)
        self.clock.now += 1000
        assert self.hosts.pop() is None
        assert self.hosts.known_hosts == 0


TestModelOfHosts = ModelOfHosts.TestCase
TestModelOfHosts.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
