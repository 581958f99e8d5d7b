"""What site owners ask for is done: opt-outs, robots.txt, pauses, few connections, and an end for dead hosts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from support.fetching import IMAGES, PICTURE, fetch_all, fetch_one, local_settings
from support.web_server import WebServer

from beam_recap.fetch import Fetcher, FetchResult
from beam_recap.records import Reason


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer(IMAGES) as server:
        yield server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.fetch.policy.FIRST_BACKOFF_S", 0.1)


def everywhere(host: str, port: int) -> list[str]:
    """A resolver: all names are this machine."""
    return [] if host.startswith("unknown") else ["127.0.0.1"]


def fetch_named(urls: list[str], **changes: object) -> list[FetchResult]:
    """Fetches one URL after the other with one fetcher, for which every name is this machine."""
    fetcher = Fetcher(local_settings(**changes), resolver=everywhere)
    try:
        return [fetcher.fetch(url) for url in urls]
    finally:
        fetcher.close()


# Who asks.


def test_user_agent_has_name_and_contact(web: WebServer) -> None:
    fetch_one(web.url("/cat.jpg"), agent="our-lab", contact="mailto:crawl@lab.example")
    assert web.headers["/cat.jpg"]["User-Agent"].startswith("our-lab/")
    assert web.headers["/cat.jpg"]["User-Agent"].endswith("(+mailto:crawl@lab.example)")


# Opt-outs in headers.


@pytest.mark.parametrize(
    ("name", "value", "is_honoured"),
    [
        ("X-Robots-Tag", "noai", True),
        ("X-Robots-Tag", "noimageai", True),
        ("x-robots-tag", "NOINDEX, nofollow", True),
        ("X-Robots-Tag", "max-snippet: 20, noimageindex", True),
        ("X-Robots-Tag", "noml", True),
        ("X-Robots-Tag", "beam-recap: noai", True),
        ("X-Robots-Tag", "otherbot: noai", False),
        ("X-Robots-Tag", "nofollow", False),
        ("X-Robots-Tag", "unavailable_after: 25 Jun 2030 15:00:00 PST", False),
        ("TDM-Reservation", "1", True),
        ("TDM-Reservation", "0", False),
        ("X-Robots-Tagged", "noai", False),
    ],
)
def test_opt_out_headers(web: WebServer, name: str, value: str, is_honoured: bool) -> None:
    result = fetch_one(web.url(f"/tagged/cat.jpg?name={name}&value={value.replace(' ', '%20')}"))
    assert result.http_status == 200
    if is_honoured:
        assert (result.reason, result.body, result.attempts) == (Reason.OPTED_OUT, None, 1)
        assert value in result.detail
    else:
        assert result.body == PICTURE


def test_opt_outs_can_be_chosen(web: WebServer) -> None:
    url = web.url("/tagged/cat.jpg?name=X-Robots-Tag&value=noindex")
    assert fetch_one(url, opt_out_directives=("noai", "noml")).body == PICTURE
    assert fetch_one(url, opt_out_directives=()).body == PICTURE
    assert fetch_one(url, opt_out_directives=("noindex",)).reason == Reason.OPTED_OUT


def test_error_page_with_an_opt_out_is_an_error_page(web: WebServer) -> None:
    web.answers["/gone"] = 404, b"", {"X-Robots-Tag": "noindex"}
    assert fetch_one(web.url("/gone")).reason == Reason.HTTP_404


def test_opt_out_of_a_redirect_does_not_concern_the_picture(web: WebServer) -> None:
    web.answers["/moved"] = 302, b"", {"X-Robots-Tag": "noindex", "Location": "/cat.jpg"}
    assert fetch_one(web.url("/moved")).body == PICTURE


# robots.txt.


def test_robots_txt_is_not_asked_for_unless_wanted(web: WebServer) -> None:
    web.answers["/robots.txt"] = 200, b"User-agent: *\nDisallow: /", {}
    assert fetch_one(web.url("/cat.jpg")).body == PICTURE
    assert web.requests["/robots.txt"] == 0


def test_robots_txt_decides_and_is_asked_for_once_per_origin(web: WebServer) -> None:
    web.answers["/robots.txt"] = 200, b"User-agent: *\nDisallow: /\n\nUser-agent: beam-recap\nDisallow: /private", {}
    web.images["/private/cat.jpg"] = PICTURE
    settings = local_settings(obey_robots_txt=True)
    results = fetch_all([web.url("/cat.jpg"), web.url("/private/cat.jpg")] * 10, settings)
    assert Counter(result.reason for result in results) == {None: 10, Reason.ROBOTS_TXT: 10}
    assert (web.requests["/robots.txt"], web.requests["/private/cat.jpg"]) == (1, 0)
    named = fetch_named([web.url("/cat.jpg", host="b.example"), web.url("/cat.jpg")], obey_robots_txt=True)
    assert [result.body for result in named] == [PICTURE] * 2
    assert web.requests["/robots.txt"] == 3


def test_robots_txt_of_a_redirects_target_counts(web: WebServer) -> None:
    web.answers["/robots.txt"] = 200, b"User-agent: *\nDisallow: /cat.jpg", {}
    web.answers["/moved"] = 302, b"", {"Location": "/cat.jpg"}
    assert fetch_one(web.url("/moved"), obey_robots_txt=True).reason == Reason.ROBOTS_TXT
    assert web.requests["/cat.jpg"] == 0


def test_robots_txt_may_be_moved_or_missing_or_empty(web: WebServer) -> None:
    answers = [
        (404, b"<html>", {}),
        (403, b"", {}),
        (200, b"", {}),
        (200, b"<html>a page</html>", {}),
        (200, b"# " + b"x" * 2_000_000, {}),
        (200, b"User-agent: *\nDisallow: /", {"X-Robots-Tag": "noindex"}),
        (301, b"", {"Location": "/rules.txt"}),
    ]
    web.answers["/rules.txt"] = 200, b"User-agent: *\nDisallow: /", {}
    reasons = []
    for answer in answers:
        web.answers["/robots.txt"] = answer
        reasons.append(fetch_one(web.url("/cat.jpg"), obey_robots_txt=True).reason)
    assert reasons == [None] * 5 + [Reason.ROBOTS_TXT] * 2


def test_robots_txt_that_cannot_be_had_forbids_for_now(web: WebServer) -> None:
    web.answers["/robots.txt"] = 503, b"", {}
    results = fetch_all([web.url("/cat.jpg")] * 5, local_settings(obey_robots_txt=True, retries=0))
    assert {(result.reason, result.reason.is_transient) for result in results if result.reason} == {
        (Reason.HTTP_5XX, True)
    }
    assert all(result.detail.startswith("robots.txt: HTTP 503") for result in results)
    assert (web.requests["/robots.txt"], web.requests["/cat.jpg"]) == (1, 0)


# Pauses, rates and dead hosts.


def test_429_pauses_its_host_and_no_other(web: WebServer) -> None:
    fetcher = Fetcher(local_settings(connections_per_host=1), resolver=everywhere)
    results: dict[str, tuple[FetchResult, float]] = {}
    start = time.monotonic()
    urls = [
        web.url("/flaky/429/1/cat.jpg?retry_after=2", host="busy.example"),
        *(web.url(f"/cat.jpg?{n}", host="busy.example") for n in range(3)),
        *(web.url(f"/cat.jpg?{n}", host="quiet.example") for n in range(3)),
    ]
    for url in urls:
        fetcher.submit(url, lambda result, url=url: results.update({url: (result, time.monotonic() - start)}))
    while len(results) < len(urls):
        time.sleep(0.01)
    fetcher.close()
    assert [results[url][0].body for url in urls] == [PICTURE] * 7
    assert all((results[url][1] >= 2.0) == ("busy" in url) for url in urls)


def test_long_retry_after_costs_one_row_if_the_host_answers_others(web: WebServer) -> None:
    start = time.monotonic()
    urls = [web.url("/status/429?retry_after=3600"), *(web.url(f"/slow/0.1/cat.jpg?{n}") for n in range(60))]
    results = fetch_all(urls, local_settings())
    assert [result.reason for result in results] == [Reason.HTTP_429] + [None] * 60
    assert time.monotonic() - start < 8.0  # less than the deadline, for which a host is paused at first


def test_host_that_refuses_all_is_given_up(web: WebServer) -> None:
    urls = [web.url(f"/status/429?retry_after=3600&n={n}") for n in range(300)]
    results = fetch_all(urls, local_settings(connections_per_host=2, timeout_s=1.0))
    assert {result.reason for result in results} == {Reason.HTTP_429}
    assert web.requests.total() <= 8


def test_requests_per_second(web: WebServer) -> None:
    start = time.monotonic()
    results = fetch_all([web.url(f"/cat.jpg?{n}") for n in range(6)], local_settings(host_requests_per_s=5.0))
    assert [result.body for result in results] == [PICTURE] * 6
    assert time.monotonic() - start >= 0.99


def test_dead_host_costs_little(web: WebServer) -> None:
    asked = Counter[str]()

    def resolve(host: str, port: int) -> list[str]:
        asked[host] += 1
        return everywhere(host, port)

    fetcher = Fetcher(local_settings(retries=2), resolver=resolve)
    results: list[FetchResult] = []
    for number in range(3000):
        fetcher.submit(web.url(f"/{number}.jpg", host="unknown.example"), results.append)
        if number % 100 == 0:
            fetcher.submit(web.url("/cat.jpg", host="known.example"), results.append)
    while len(results) < 3030:
        time.sleep(0.01)
    fetcher.close()
    reasons = Counter(result.reason for result in results)
    assert reasons[None] == 30
    assert reasons[Reason.HOST_DOWN] > 2900
    assert set(reasons) == {None, Reason.HOST_DOWN, Reason.DNS}
    assert asked["unknown.example"] < 60
