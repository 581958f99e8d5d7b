"""The fetcher's settings, and its parts that need no network."""

from __future__ import annotations

import pytest

from beam_recap.fetch import FetchResult, FetchSettings
from beam_recap.fetch.byte_budget import ByteBudget
from beam_recap.records import Reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("concurrency", 0),
        ("concurrency", True),
        ("concurrency", 1.5),
        ("connections_per_host", 0),
        ("timeout_s", 0.0),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("timeout_s", "20"),
        ("connect_timeout_s", -1.0),
        ("retries", -1),
        ("max_bytes", 0),
        ("max_redirects", -1),
        ("ahead_rows", 0),
        ("host_requests_per_s", 0.0),
        ("ports", (0,)),
        ("opt_out_directives", ("nofollow",)),
        ("contact", " "),
        ("ahead_bytes", 0),
        ("allow_private_hosts", "false"),
        ("verify_tls", None),
        ("agent", ""),
        ("contact", "me\r\nHost: evil.example"),
    ],
)
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        FetchSettings(**{field: value})  # type: ignore[arg-type]


def test_result_has_either_body_or_reason() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        FetchResult(b"x", Reason.TIMEOUT, "", None, None, 1)
    with pytest.raises(ValueError, match="exactly one"):
        FetchResult(None, None, "", None, None, 1)


# The bytes that are held.


def test_spent_budget_lets_only_the_oldest_go_on() -> None:
    budget: ByteBudget[str] = ByteBudget(100)
    budget.start("old")
    budget.start("young")
    assert budget.take("young", 90)
    assert not budget.take("young", 20)
    assert budget.has_refused
    assert budget.take("old", 50)
    assert budget.used == 140
    budget.leave("old")
    assert budget.take_refused() == ["young"]
    assert not budget.has_refused
    assert budget.take("young", 500)


def test_finished_bodies_count_until_they_are_taken() -> None:
    budget: ByteBudget[str] = ByteBudget(100)
    for holder in ("first", "second", "third"):
        budget.start(holder)
    assert budget.take("first", 90)
    budget.finish("first")
    assert not budget.take("second", 20)  # the oldest, but what is finished will be taken
    assert not budget.has_room()
    assert budget.take_refused() == []
    budget.leave("first")
    assert budget.used == 0
    assert budget.take_refused() == ["second"]  # though it may want more: there is nobody else
    assert budget.take("second", 20)


def test_only_as_many_ask_again_as_will_get_something() -> None:
    budget: ByteBudget[int] = ByteBudget(1_000_000)
    for holder in range(50):
        budget.start(holder)
    assert budget.take(0, 1_000_000)
    budget.finish(0)
    assert not any(budget.take(holder, 16_000) for holder in range(1, 50))
    assert budget.take_refused() == []
    budget.leave(0)
    again = budget.take_refused()
    assert 5 <= len(again) <= 8  # of 128 KiB each
    assert budget.has_refused
    assert all(budget.take(holder, 100_000) for holder in again)


def test_no_more_start_than_will_probably_fit() -> None:
    budget: ByteBudget[int] = ByteBudget(1_000_000)
    assert budget.has_room()
    started = 0
    while budget.has_room():
        budget.start(started)
        started += 1
    assert 5 <= started <= 8  # of 128 KiB each
    for holder in range(started):
        budget.leave(holder)
    for holder in range(500):  # all are of 10 kB
        budget.start(holder)
        assert budget.take(holder, 10_000)
        budget.finish(holder)
        budget.leave(holder)
    started = 0
    while budget.has_room():
        budget.start(started)
        started += 1
    assert 50 <= started <= 100
