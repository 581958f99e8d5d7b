"""The rules of the road, on a clock of our own and without any socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from beam_recap.fetch.policy import Verdict
from beam_recap.fetch.request import Request
from beam_recap.fetch.settings import FetchResult, FetchSettings
from beam_recap.fetch.traffic import Traffic
from beam_recap.fetch.transfer import Ending
from beam_recap.records import Reason

OK = Ending(b"picture", None, None, 200)
DEAD = Ending(None, None, Verdict(Reason.REFUSED, "refused", retry=True, host_failed=True), None)


def redirect(url: str) -> Ending:
    return Ending(None, url, None, 302)


def busy(retry_after_s: float, status: int = 429) -> Ending:
    reason = Reason.HTTP_429 if status == 429 else Reason.HTTP_5XX
    return Ending(None, None, Verdict(reason, f"HTTP {status}", retry=True), status, retry_after_s)


class Road:
    """A `Traffic` with a clock that stands still, and everything that comes out of it."""

    def __init__(self, **changes: object) -> None:
        self.now = 1000.0
        self.results: dict[str, FetchResult] = {}
        settings = FetchSettings(**{"timeout_s": 20.0, "ports": (), **changes})  # type: ignore[arg-type]
        self.traffic = Traffic(settings, self._finish, clock=lambda: self.now)

    def _finish(self, request: Request, result: FetchResult) -> None:
        receiver, request.receiver = request.receiver, None
        if receiver is self:
            assert request.given not in self.results
            self.results[request.given] = result
        elif receiver is not None:
            receiver.done(request, result)

    # As a receiver.
    holds = False
    wanted = True

    def add(self, *urls: str) -> None:
        for url in urls:
            self.traffic.add(Request(url, self))

    def send(self) -> Request:
        sent = self.traffic.next()
        assert sent is not None
        return sent[0]

    def sent(self) -> Iterator[Request]:
        while (sent := self.traffic.next()) is not None:
            yield sent[0]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        assert not self.traffic.run_timers()

    def reason(self, url: str) -> Reason | None:
        return self.results[url].reason


def test_plain() -> None:
    road = Road()
    road.add("http://a.example/1")
    request = road.send()
    assert request.url is not None and request.url.text == "http://a.example/1"
    road.traffic.ended(request, OK)
    assert road.results["http://a.example/1"] == FetchResult(b"picture", None, "", 200, "http://a.example/1", 1)


def test_ports() -> None:
    road = Road(ports=(80, 443))
    road.add("http://a.example:22/x", "http://a.example:443/x", "https://a.example/x")
    assert road.reason("http://a.example:22/x") == Reason.INVALID_URL
    request = road.send()
    road.traffic.ended(request, redirect("http://b.example:25/"))
    assert road.reason("http://a.example:443/x") == Reason.INVALID_URL
    assert "port 25" in road.results["http://a.example:443/x"].detail


def test_redirect_is_part_of_the_try_and_counts_for_the_new_host() -> None:
    road = Road(connections_per_host=1)
    road.add("http://a.example/1", "http://b.example/1", "http://a.example/2")
    first, second = list(road.sent())
    road.traffic.ended(first, redirect("http://b.example/2"))
    third = road.send()  # a.example has a place again
    assert third.given == "http://a.example/2"
    assert road.traffic.next() is None  # b.example has none
    road.traffic.ended(second, OK)
    assert road.send() is first
    road.traffic.ended(first, OK)
    assert road.results["http://a.example/1"].attempts == 1
    assert road.results["http://a.example/1"].final_url == "http://b.example/2"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://a.example/1", Reason.REDIRECT_LOOP),
        ("http://user:secret@b.example/", Reason.INVALID_URL),
        ("ftp://b.example/", Reason.INVALID_URL),
        ("javascript:alert(1)", Reason.INVALID_URL),
    ],
)
def test_redirects_that_are_not_followed(target: str, reason: Reason) -> None:
    road = Road()
    road.add("http://a.example/1")
    road.traffic.ended(road.send(), redirect(target))
    assert road.reason("http://a.example/1") == reason
    assert road.results["http://a.example/1"].http_status == 302


def test_redirect_cap() -> None:
    road = Road(max_redirects=2)
    road.add("http://a.example/0")
    for number in range(1, 4):
        road.traffic.ended(road.send(), redirect(f"http://a.example/{number}"))
    assert road.reason("http://a.example/0") == Reason.REDIRECT_LOOP


def test_tries_end_and_wait_between() -> None:
    road = Road(retries=2)
    road.add("http://a.example/1")
    for attempt in range(1, 4):
        request = road.send()
        assert request.attempts == attempt
        road.traffic.ended(request, Ending(None, None, Verdict(Reason.HTTP_5XX, "HTTP 500", retry=True), 500))
        assert road.traffic.next() is None
        road.wait(3.0)  # 0.5 s, then 1 s, at most 1.5 times
    assert road.results["http://a.example/1"].attempts == 3


def test_deadline_holds_over_tries_and_redirects() -> None:
    road = Road(timeout_s=20.0, retries=20)
    road.add("http://a.example/1")
    request = road.send()
    road.now += 15
    road.traffic.ended(request, redirect("http://a.example/2"))
    sent = road.traffic.next()
    assert sent is not None and sent[1] == pytest.approx(5.0)
    road.traffic.ended(request, busy(4.0, status=503))
    road.now += 5.0
    road.traffic.run_timers()
    assert road.reason("http://a.example/1") == Reason.HTTP_5XX


def test_running_request_whose_time_is_up_is_named() -> None:
    road = Road(timeout_s=20.0)
    road.add("http://a.example/1")
    request = road.send()
    request.is_running = True
    road.now += 19.9
    assert road.traffic.run_timers() == []
    request.deadline += 5  # it had to wait for memory
    road.now += 0.2
    assert road.traffic.run_timers() == []
    road.now += 5
    assert road.traffic.run_timers() == [request]


# Hosts that are to be left alone.


def test_pause_is_for_the_whole_host_and_for_no_other() -> None:
    road = Road(connections_per_host=1)
    road.add("http://a.example/1", "http://a.example/2")
    road.traffic.ended(road.send(), busy(5.0))
    road.add("http://a.example/3", "http://b.example/1")
    assert [request.given for request in road.sent()] == ["http://b.example/1"]
    assert road.traffic.seconds_to_next(may_start=True) == pytest.approx(5.0, abs=1.0)
    road.wait(5.1)
    assert len(list(road.sent())) == 1
    assert not road.results


def test_long_pause_is_cut_to_a_deadline_and_then_the_host_is_tried_again() -> None:
    road = Road(connections_per_host=1)
    road.add("http://a.example/1", "http://a.example/2")
    road.traffic.ended(road.send(), busy(3600.0))
    assert road.reason("http://a.example/1") == Reason.HTTP_429  # its own wait is beyond its deadline
    assert road.traffic.next() is None
    road.wait(20.1)
    road.traffic.ended(road.send(), OK)
    assert road.reason("http://a.example/2") is None


def test_host_that_refuses_after_a_pause_too_is_given_up() -> None:
    road = Road(connections_per_host=1)
    road.add(*(f"http://a.example/{n}" for n in range(9)))
    road.traffic.ended(road.send(), busy(3600.0))
    road.wait(20.1)
    road.traffic.ended(road.send(), busy(3600.0))
    road.add("http://a.example/9")
    assert [road.reason(f"http://a.example/{n}") for n in range(10)] == [Reason.HTTP_429] * 10
    assert road.results["http://a.example/9"].attempts == 0
    road.wait(601)
    road.add("http://a.example/10")
    road.traffic.ended(road.send(), OK)
    assert road.reason("http://a.example/10") is None


def test_one_refusal_among_answers_concerns_its_url_alone() -> None:
    road = Road(connections_per_host=4)
    road.add(*(f"http://a.example/{n}" for n in range(20)))
    running = list(road.sent())
    ended = 0
    while running:
        ended += 1
        road.traffic.ended(running.pop(0), busy(3600.0) if ended % 5 == 1 else OK)
        running += road.sent()
    reasons = [result.reason for result in road.results.values()]
    assert (reasons.count(Reason.HTTP_429), reasons.count(None)) == (4, 16)


def test_three_refusals_in_a_row_pause_the_host() -> None:
    road = Road(connections_per_host=4)
    road.add(*(f"http://a.example/{n}" for n in range(8)))
    first, second, third, fourth = list(road.sent())
    road.traffic.ended(first, busy(5.0))
    road.traffic.ended(second, busy(5.0))
    assert len(list(road.sent())) == 2
    road.traffic.ended(third, busy(5.0))
    assert list(road.sent()) == []
    road.traffic.ended(fourth, OK)  # it was under way
    assert list(road.sent()) == []
    road.wait(8.0)
    assert len(list(road.sent())) == 2


def test_short_pauses_again_and_again_are_one_long_one() -> None:
    road = Road(connections_per_host=1, retries=0)
    road.add(*(f"http://a.example/{n}" for n in range(10)))
    for _ in range(4):
        road.traffic.ended(road.send(), busy(6.0))
        road.wait(6.1)
    assert len(road.results) == 10
    assert {result.reason for result in road.results.values()} == {Reason.HTTP_429}


def test_pauses_that_an_answer_ends_are_not_added_up() -> None:
    road = Road(connections_per_host=1, retries=1)
    urls = [f"http://a.example/{n}" for n in range(10)]
    road.add(*urls)
    for _ in urls:
        road.traffic.ended(road.send(), busy(6.0))
        road.wait(9.1)
        road.traffic.ended(road.send(), OK)
    assert {result.reason for result in road.results.values()} == {None}


def test_dead_host_costs_eight_transfers_however_many_rows_it_has() -> None:
    road = Road(retries=0)
    rows = [f"http://dead.example/{n}" for n in range(2000)]
    road.add(*rows, "http://a.example/1")
    transfers = 0
    for request in road.sent():
        transfers += 1
        road.traffic.ended(request, OK if request.url and request.url.host == "a.example" else DEAD)
    assert transfers <= 10
    reasons = [road.reason(row) for row in rows]
    assert reasons.count(Reason.REFUSED) == 8
    assert reasons.count(Reason.HOST_DOWN) == 1992
    road.add("http://dead.example/later")
    assert road.reason("http://dead.example/later") == Reason.HOST_DOWN
    road.wait(61)
    road.add("http://dead.example/1 again", "http://dead.example/2 again")
    (probe,) = road.sent()
    road.traffic.ended(probe, OK)
    road.traffic.ended(road.send(), OK)
    assert road.reason("http://dead.example/2 again") is None


def test_dead_port_does_not_cost_the_host_its_other_ports() -> None:
    road = Road(retries=0)
    road.add(*(f"http://a.example:9/{n}" for n in range(100)), *(f"https://a.example/{n}" for n in range(20)))
    for request in road.sent():
        road.traffic.ended(request, DEAD if ":9/" in request.given else OK)
    reasons = [result.reason for url, result in road.results.items() if ":9/" in url]
    assert (reasons.count(Reason.REFUSED), reasons.count(Reason.HOST_DOWN)) == (8, 92)
    assert len(road.results) == 120
    assert road.reason("https://a.example/19") is None


def test_second_try_that_is_not_made_leaves_the_first_ones_reason() -> None:
    road = Road(retries=5)
    road.add(*(f"http://dead.example/{n}" for n in range(8)))
    for request in list(road.sent()):
        road.traffic.ended(request, DEAD)
    road.wait(10)
    assert {result.reason for result in road.results.values()} == {Reason.REFUSED}


def test_rate() -> None:
    road = Road(host_requests_per_s=2.0)
    road.add(*(f"http://a.example/{n}" for n in range(3)))
    assert len(list(road.sent())) == 1
    assert road.traffic.seconds_to_next(may_start=True) == pytest.approx(0.5)
    road.now += 0.51
    assert len(list(road.sent())) == 1


def test_abandoned_rows_are_not_asked_for() -> None:
    road = Road()
    road.add("http://a.example/1")
    road.wanted = False
    assert road.traffic.next() is None
    assert "http://a.example/1" in road.results
