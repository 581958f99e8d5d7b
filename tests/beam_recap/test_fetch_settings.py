"""The fetcher's settings, and its parts that need no network."""

from __future__ import annotations

import pytest

from beam_recap.fetch import FetchResult, FetchSettings
from beam_recap.fetch.byte_budget import ByteBudget
from beam_recap.fetch.host_queue import HostQueue
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


def test_hosts_take_turns() -> None:
    line: HostQueue[int] = HostQueue(2)
    for number in range(4):
        line.push("a", number)
    line.push("b", 10)
    line.push("a", 99, first=True)
    assert [line.pop(), line.pop(), line.pop(), line.pop()] == [("a", 99), ("b", 10), ("a", 0), None]
    line.release("a")
    assert [line.pop(), line.pop()] == [("a", 1), None]
    line.release("b")
    assert line.pop() is None


def test_spent_budget_lets_only_the_oldest_go_on() -> None:
    budget: ByteBudget[str] = ByteBudget(100)
    budget.join("old")
    budget.join("young")
    assert budget.take("young", 90)
    assert not budget.take("young", 20)
    assert not budget.is_spent
    assert budget.take("old", 50)
    assert budget.is_spent
    budget.leave("old")
    assert budget.holders() == ["young"]
    assert budget.take("young", 500)
