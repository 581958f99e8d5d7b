"""Turns, places, rates, pauses and circuit breakers of hosts."""

from __future__ import annotations

import math
import time

import pytest

from beam_recap.fetch.alarms import Alarms
from beam_recap.fetch.breaker import FAILURES_TO_OPEN, FIRST_COOL_DOWN_S, MAX_COOL_DOWN_S, Breakers
from beam_recap.fetch.hosts import Hosts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pop_all(hosts: Hosts) -> list:
    return list(iter(hosts.pop, None))


def test_hosts_take_turns_and_each_host_keeps_its_order(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(10, clock=clock)
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        hosts.push(item[0], item)
    assert [item for _, item in pop_all(hosts)] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_no_more_than_the_limit_is_out(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(2, clock=clock)
    for number in range(5):
        hosts.push("a", number)
    assert pop_all(hosts) == [("a", 0), ("a", 1)]
    assert hosts.next_at() == math.inf
    hosts.release("a")
    assert hosts.next_at() == clock.now
    assert pop_all(hosts) == [("a", 2)]


def test_second_tries_go_first_in_the_order_in_which_they_came(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(10, clock=clock)
    for item in ("a1", "a2", "b1", "b2", "c1"):
        hosts.push(item[0], item)
    hosts.push("c", "c-again", first=True)
    hosts.push("b", "b-again", first=True)
    items = [item for _, item in pop_all(hosts)]
    assert items[:2] == ["c-again", "b-again"]
    assert items[2:] == ["a1", "b1", "c1", "a2", "b2"]


def test_a_second_try_that_has_to_wait_still_goes_before_other_hosts(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(10, clock=clock)
    hosts.pause("b", clock.now + 5)
    hosts.push("b", "b-again", first=True)
    hosts.push("b", "b1")
    assert hosts.pop() is None
    clock.now += 5
    hosts.push("a", "a1")
    assert [item for _, item in pop_all(hosts)] == ["b-again", "a1", "b1"]


def test_releasing_what_is_not_out_is_an_error(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(2, clock=clock)
    with pytest.raises(ValueError, match="'a'"):
        hosts.release("a")
    hosts.push("a", 1)
    with pytest.raises(ValueError, match="'a'"):
        hosts.release("a")


def test_the_rate_keeps_starts_of_one_host_apart_and_others_go_on(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(10, requests_per_s=4, clock=clock)
    for item in ("a1", "a2", "b1"):
        hosts.push(item[0], item)
    assert [item for _, item in pop_all(hosts)] == ["a1", "b1"]
    assert hosts.next_at() == clock.now + 0.25
    clock.now += 0.125
    assert hosts.pop() is None
    clock.now += 0.125
    assert hosts.next_at() == clock.now
    assert hosts.pop() == ("a", "a2")


def test_a_paused_host_waits_and_the_later_pause_counts(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(10, clock=clock)
    start = clock.now
    hosts.push("a", "a1")
    hosts.push("b", "b1")
    hosts.pause("a", start + 30)
    hosts.pause("a", start + 10)
    assert hosts.paused_until("a") == start + 30
    assert hosts.paused_until("b") == 0.0
    assert pop_all(hosts) == [("b", "b1")]
    assert hosts.next_at() == start + 30
    clock.now = start + 30
    assert hosts.paused_until("a") == 0.0
    assert pop_all(hosts) == [("a", "a1")]


def test_a_pause_that_is_over_and_one_that_is_no_number_change_nothing(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(10, clock=clock)
    hosts.pause("a", clock.now - 1)
    hosts.pause("a", math.nan)
    assert hosts.paused_until("a") == 0.0
    assert hosts.known_hosts == 0


def fail(hosts: Hosts, host: str, times: int) -> list[bool]:
    return [hosts.failed(host) for _ in range(times)]


def test_the_breaker_opens_after_failures_in_a_row(clock: Clock) -> None:
    hosts: Hosts[str] = Hosts(4, clock=clock)
    assert not any(fail(hosts, "a", FAILURES_TO_OPEN - 1))
    hosts.succeeded("a")
    assert fail(hosts, "a", FAILURES_TO_OPEN) == [False] * (FAILURES_TO_OPEN - 1) + [True]
    assert hosts.is_down("a")
    assert not hosts.is_down("b")


def test_nothing_is_let_out_while_the_breaker_is_open_and_one_probe_afterwards(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(4, clock=clock)
    fail(hosts, "a", FAILURES_TO_OPEN)
    for number in range(6):
        hosts.push("a", number)
    assert hosts.pop() is None
    assert hosts.next_at() == clock.now + FIRST_COOL_DOWN_S
    clock.now += FIRST_COOL_DOWN_S
    assert not hosts.is_down("a")
    assert pop_all(hosts) == [("a", 0)]
    assert hosts.next_at() == math.inf
    hosts.succeeded("a")
    assert pop_all(hosts) == [("a", 1), ("a", 2), ("a", 3)]


@pytest.mark.parametrize("release_first", [True, False])
def test_each_failed_probe_doubles_the_cool_down_to_a_limit(clock: Clock, release_first: bool) -> None:
    hosts: Hosts[int] = Hosts(4, clock=clock)
    fail(hosts, "a", FAILURES_TO_OPEN)
    for number in range(9):
        hosts.push("a", number)
    cool_downs = []
    for _ in range(6):
        cool_downs.append(hosts.next_at() - clock.now)
        clock.now = hosts.next_at()
        assert len(pop_all(hosts)) == 1
        if release_first:
            hosts.release("a")
        assert hosts.failed("a")
        if not release_first:
            hosts.release("a")
        assert hosts.is_down("a")
    assert cool_downs == [60, 120, 240, 480, MAX_COOL_DOWN_S, MAX_COOL_DOWN_S]
    hosts.succeeded("a")
    assert not hosts.is_down("a")
    assert not any(fail(hosts, "a", FAILURES_TO_OPEN - 1))
    hosts.failed("a")
    assert hosts.next_at() == clock.now + FIRST_COOL_DOWN_S


def test_a_probe_that_is_given_back_without_a_verdict_makes_room_for_another(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(4, clock=clock)
    fail(hosts, "a", FAILURES_TO_OPEN)
    clock.now += FIRST_COOL_DOWN_S
    for number in range(3):
        hosts.push("a", number)
    assert pop_all(hosts) == [("a", 0)]
    hosts.release("a")
    assert pop_all(hosts) == [("a", 1)]


def test_failures_of_requests_under_way_do_not_lengthen_the_cool_down(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(16, clock=clock)
    for number in range(17):
        hosts.push("a", number)
    assert len(pop_all(hosts)) == 16
    opened = []
    for _ in range(16):
        hosts.release("a")
        opened.append(hosts.failed("a"))
        clock.now += 1
    assert opened.count(True) == 1
    assert hosts.next_at() == clock.now - 16 + FAILURES_TO_OPEN - 1 + FIRST_COOL_DOWN_S


def test_an_answer_of_a_request_under_way_ends_the_cool_down(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(16, clock=clock)
    fail(hosts, "a", FAILURES_TO_OPEN)
    hosts.push("a", 1)
    assert hosts.pop() is None
    hosts.succeeded("a")
    assert hosts.next_at() == clock.now
    assert hosts.pop() == ("a", 1)


def test_what_waits_can_be_taken_in_order(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(1, clock=clock)
    for number in range(4):
        hosts.push("a", number)
    hosts.push("a", 9, first=True)
    hosts.push("b", 5)
    assert hosts.pop() == ("a", 9)
    assert hosts.take_waiting("a") == [0, 1, 2, 3]
    assert hosts.take_waiting("a") == hosts.take_waiting("unknown") == []
    assert pop_all(hosts) == [("b", 5)]
    hosts.release("a")
    hosts.push("a", 7)
    assert pop_all(hosts) == [("a", 7)]


def test_hosts_are_forgotten_when_nothing_of_them_matters(clock: Clock) -> None:
    hosts: Hosts[int] = Hosts(2, requests_per_s=1, clock=clock)
    for number in range(1000):
        hosts.push(f"host{number}", number)
        hosts.pause(f"paused{number}", clock.now + 1 + number / 1000)
    assert hosts.known_hosts == 2000
    for host, _ in pop_all(hosts):
        hosts.failed(host)
        hosts.release(host)
    assert hosts.known_hosts == 2000  # for the gap and the pauses
    assert hosts.next_at() == math.inf
    clock.now += 1
    assert hosts.next_at() == math.inf
    assert hosts.known_hosts == 999
    clock.now += 1
    assert hosts.pop() is None
    assert hosts.known_hosts == 0


def test_many_rows_of_one_host_and_of_many_hosts_are_quick() -> None:
    started = time.monotonic()
    hosts: Hosts[int] = Hosts(4, requests_per_s=1e9)
    for number in range(100_000):
        hosts.push("one", number)
        hosts.push(f"host{number}", number)
    popped = 0
    while (each := hosts.pop()) is not None or hosts.next_at() < math.inf:
        if each is not None:
            popped += 1
            hosts.release(each[0])
    assert popped == 200_000
    assert time.monotonic() - started < 30  # linear work per call would take hours


def test_breakers_remember_only_so_many_hosts() -> None:
    breakers = Breakers(max_hosts=3)
    for host in "abc":
        for _ in range(FAILURES_TO_OPEN):
            breakers.failed(host, 0.0)
    assert breakers.open_until("a") == FIRST_COOL_DOWN_S  # asked about, so "b" goes first
    breakers.failed("d", 0.0)
    assert len(breakers) == 3
    assert breakers.open_until("b") is None
    assert breakers.open_until("a") == FIRST_COOL_DOWN_S


def test_alarms_that_are_set_again_and_again_take_no_memory() -> None:
    alarms = Alarms()
    for number in range(10_000):
        alarms.set("a", float(number))
        assert len(alarms._heap) < 200
    for number in range(10_000):
        alarms.set(str(number), float(number))
    for number in range(10_000):
        alarms.clear(str(number))
    assert len(alarms) == 1
    assert len(alarms._heap) < 200
    assert alarms.first() == 9999.0
    assert alarms.ring(9998.0) is None
    assert alarms.ring(9999.0) == "a"
    assert alarms.ring(math.inf) is None
    assert alarms.first() == math.inf
