"""What the fetcher gives, its limits and its tries, against a small hostile web on loopback."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Iterator

import pytest
from support.fetching import IMAGES, LONG_S, PICTURE, fetch_one, local_settings
from support.web_server import WebServer

from beam_recap.fetch import Fetcher, FetchResult
from beam_recap.records import Reason


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer(IMAGES) as server:
        yield server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.fetch.policy.FIRST_BACKOFF_S", 0.1)


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with_limits = Fetcher(local_settings())
    yield with_limits
    with_limits.close()


# What it gives.


def test_body(web: WebServer, fetcher: Fetcher) -> None:
    result = fetcher.fetch(web.url("/cat.jpg"))
    assert result == FetchResult(PICTURE, None, "", 200, web.url("/cat.jpg"), 1)


def test_request_says_who_asks_and_wants_no_compression(web: WebServer, fetcher: Fetcher) -> None:
    fetcher.fetch(web.url("/cat.jpg?who"))
    fetcher.fetch(web.url("/status/404?who"))
    headers = web.headers["/status/404?who"]
    assert headers["User-Agent"].startswith("beam-recap/")
    assert "+https://" in headers["User-Agent"]
    assert "avif" not in headers["Accept"]
    assert headers["Accept-Encoding"] == "identity"
    assert not set(headers) & {"Referer", "Cookie", "Authorization"}


def test_characters_are_encoded(web: WebServer, fetcher: Fetcher) -> None:
    assert fetcher.fetch(web.url("/straße.jpg")).body == b"street"


def test_redirects(web: WebServer, fetcher: Fetcher) -> None:
    result = fetcher.fetch(web.url("/redirect/5/cat.jpg"))
    assert result.body == PICTURE
    assert result.final_url == web.url("/cat.jpg")
    assert result.attempts == 1


def test_too_many_redirects(web: WebServer, fetcher: Fetcher) -> None:
    result = fetcher.fetch(web.url("/redirect/6/cat.jpg"))
    assert (result.reason, result.attempts) == (Reason.REDIRECT_LOOP, 1)


def test_no_redirects_at_all(web: WebServer) -> None:
    assert fetch_one(web.url("/redirect/1/cat.jpg"), max_redirects=0).reason == Reason.REDIRECT_LOOP


@pytest.mark.parametrize(
    ("path", "reason", "status"),
    [
        ("/status/401", Reason.HTTP_4XX, 401),
        ("/status/403", Reason.HTTP_403, 403),
        ("/status/404", Reason.HTTP_404, 404),
        ("/status/410", Reason.HTTP_410, 410),
        ("/status/451", Reason.HTTP_4XX, 451),
        ("/status/206", Reason.BAD_RESPONSE, 206),
        ("/status/304", Reason.BAD_RESPONSE, 304),
        ("/status/302", Reason.BAD_RESPONSE, 302),  # a redirect to nowhere
        ("/status/999", Reason.BAD_RESPONSE, 999),
        ("/status/204", Reason.EMPTY_BODY, 204),
        ("/empty", Reason.EMPTY_BODY, 200),
        ("/huge", Reason.TOO_LARGE, 200),
        ("/endless", Reason.TOO_LARGE, 200),
        ("/bomb", Reason.TOO_LARGE, 200),
        ("/garbage", Reason.BAD_RESPONSE, None),
        ("/redirect-to?url=file:///etc/passwd", Reason.INVALID_URL, 302),
        ("/redirect-to?url=ftp://127.0.0.1/x", Reason.INVALID_URL, 302),
        ("/redirect-to?url=http://user:password@127.0.0.1/x", Reason.INVALID_URL, 302),
        ("/redirect-to?url=http://%FF%FE.invalid/", Reason.DNS, None),
    ],
)
def test_failures_that_another_try_does_not_help(web: WebServer, path: str, reason: Reason, status: int | None) -> None:
    before = web.requests[path]
    result = fetch_one(web.url(path), retries=0 if reason == Reason.DNS else 2, max_bytes=1_000_000)
    assert (result.body, result.reason, result.http_status) == (None, reason, status)
    assert result.attempts == 1
    assert web.requests[path] - before == 1
    assert result.detail.isprintable()
    assert result.detail.encode()


def test_web_page_is_not_judged_here(web: WebServer, fetcher: Fetcher) -> None:
    assert fetcher.fetch(web.url("/html")).body.startswith(b"<!DOCTYPE")


# Limits.


def test_packed_body_is_unpacked(web: WebServer, fetcher: Fetcher) -> None:
    assert fetcher.fetch(web.url("/packed/cat.jpg")).body == PICTURE


def test_circle_of_redirects(web: WebServer, fetcher: Fetcher) -> None:
    path = "/redirect-to?url=/redirect-to?url=/nowhere"
    web.answers["/round"] = 302, b"", {"Location": "/and-round"}
    web.answers["/and-round"] = 302, b"", {"Location": "/round"}
    result = fetcher.fetch(web.url("/round"))
    assert (result.reason, result.http_status, result.attempts) == (Reason.REDIRECT_LOOP, 302, 1)
    assert (web.requests["/round"], web.requests["/and-round"]) == (1, 1)
    assert fetcher.fetch(web.url(path)).reason == Reason.HTTP_404


def test_largest_body(web: WebServer) -> None:
    assert fetch_one(web.url("/cat.jpg"), max_bytes=len(PICTURE)).body == PICTURE
    assert fetch_one(web.url("/cat.jpg"), max_bytes=len(PICTURE) - 1).reason == Reason.TOO_LARGE


@pytest.mark.parametrize("path", ["/stall", "/drip", "/huge", "/endless", "/slow/5/cat.jpg"])
def test_deadline_holds_for_all_tries_together(web: WebServer, path: str) -> None:
    start = time.monotonic()
    result = fetch_one(web.url(path), timeout_s=0.6, retries=5, max_bytes=2**31)
    if path in ("/stall", "/slow/5/cat.jpg"):
        assert result.reason == Reason.TIMEOUT  # no answer
    elif path == "/huge":
        assert result.reason == Reason.TOO_LARGE
    else:
        assert result.reason == Reason.TOO_SLOW  # an answer without end
    assert time.monotonic() - start < LONG_S


def test_deadline_covers_redirects_and_retries(web: WebServer) -> None:
    start = time.monotonic()
    result = fetch_one(web.url("/status/503?deadline"), timeout_s=1.2, retries=20)
    assert result.reason == Reason.HTTP_5XX
    assert result.attempts < 6
    assert time.monotonic() - start < LONG_S


def test_body_of_a_redirect_is_not_read(web: WebServer, fetcher: Fetcher) -> None:
    assert fetcher.fetch(web.url("/endless-redirect")).body == PICTURE


def test_connecting_to_nobody(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = fetcher.fetch(f"http://127.0.0.1:{port}/")
    assert (result.reason, result.http_status, result.attempts) == (Reason.REFUSED, None, 3)


def test_unknown_host() -> None:
    assert fetch_one("http://no-such-host.invalid/cat.jpg", retries=0).reason == Reason.DNS


# Tries.


def test_server_errors_are_tried_again(web: WebServer, fetcher: Fetcher) -> None:
    result = fetcher.fetch(web.url("/flaky/500/1/cat.jpg"))
    assert (result.body, result.attempts, result.http_status) == (PICTURE, 2, 200)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, Reason.HTTP_5XX), (503, Reason.HTTP_5XX), (429, Reason.HTTP_429), (408, Reason.TIMEOUT)],
)
def test_tries_end(web: WebServer, fetcher: Fetcher, status: int, reason: Reason) -> None:
    path = f"/status/{status}?tries"
    result = fetcher.fetch(web.url(path))
    assert (result.reason, result.http_status, result.attempts) == (reason, status, 3)
    assert web.requests[path] == 3
    assert reason.is_transient


def test_broken_connection_is_tried_again(web: WebServer, fetcher: Fetcher) -> None:
    result = fetcher.fetch(web.url("/reset-once/cat.jpg"))
    assert (result.body, result.attempts) == (PICTURE, 2)
    assert fetcher.fetch(web.url("/reset")).reason == Reason.RESET
    assert fetcher.fetch(web.url("/close")).reason == Reason.RESET


def test_retry_after_is_waited_for(web: WebServer, fetcher: Fetcher) -> None:
    start = time.monotonic()
    result = fetcher.fetch(web.url("/flaky/429/1/cat.jpg?retry_after=2"))
    assert (result.body, result.attempts) == (PICTURE, 2)
    assert time.monotonic() - start >= 1.9


def test_retry_after_beyond_the_deadline_is_not(web: WebServer, fetcher: Fetcher) -> None:
    path = "/status/429?retry_after=3600"
    result = fetcher.fetch(web.url(path))
    assert (result.reason, result.attempts, web.requests[path]) == (Reason.HTTP_429, 1, 1)


def test_waiting_takes_no_place(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.fetch.policy.FIRST_BACKOFF_S", 2.0)
    fetcher = Fetcher(local_settings(concurrency=1))
    results: queue.SimpleQueue[tuple[str, FetchResult]] = queue.SimpleQueue()
    for path in ("/flaky/503/1/cat.jpg", *(f"/cat.jpg?{number}" for number in range(5))):
        fetcher.submit(web.url(path), lambda result, path=path: results.put((path, result)))
    ended = [results.get(timeout=LONG_S) for _ in range(6)]
    fetcher.close()
    assert ended[-1][0].startswith("/flaky")  # all the others passed it
    assert [result.body for _, result in ended[-1:]] == [PICTURE]
