"""Many URLs at once, and the life of a fetcher."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fetching import BIG, IMAGES, LONG_S, PICTURE, fetch_all, fetch_one, local_settings
from support.web_server import WebServer

from beam_recap.fetch import Fetcher, FetchResult
from beam_recap.fetch.byte_budget import ByteBudget
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


# Many at once.


def test_each_of_300_urls_ends_once(web: WebServer) -> None:
    kinds = [
        ("/cat.jpg?mixed", None),
        ("/redirect/2/cat.jpg", None),
        ("/status/404", Reason.HTTP_404),
        ("/status/500", Reason.HTTP_5XX),
        ("/reset", Reason.RESET),
        ("/empty", Reason.EMPTY_BODY),
        ("/html", None),
        ("/endless", Reason.TOO_LARGE),
        ("/drip", Reason.TOO_SLOW),
        ("http://user@127.0.0.1/", Reason.INVALID_URL),
    ]
    expected = [reason for _, reason in kinds] * 30
    urls = [path if path.startswith("http") else web.url(path) for path, _ in kinds] * 30
    results = fetch_all(urls, local_settings(timeout_s=1.5, retries=1, max_bytes=500_000, connections_per_host=64))
    for url, reason, result in zip(urls, expected, results, strict=True):
        # Two slow cores may let a deadline pass before its time; the count is what this test is about.
        assert result.reason in (reason, Reason.TIMEOUT, Reason.TOO_SLOW), (url, result)
    assert Counter(result.reason for result in results)[None] > 60


def test_stalled_host_does_not_delay_others(web: WebServer) -> None:
    fetcher = Fetcher(local_settings(timeout_s=60.0, concurrency=8, connections_per_host=4))
    stalled: list[FetchResult] = []
    good: queue.SimpleQueue[FetchResult] = queue.SimpleQueue()
    with WebServer({}) as slow:
        for number in range(50):
            # By another name it is another host.
            fetcher.submit(slow.url(f"/stall?{number}", host="localhost"), stalled.append)
        for number in range(50):
            fetcher.submit(web.url(f"/cat.jpg?{number}"), good.put)
        assert [good.get(timeout=LONG_S).body for _ in range(50)] == [PICTURE] * 50
        assert slow.most_at_once <= 4
        assert not stalled
        fetcher.close()
    assert len(stalled) == 50
    assert {result.reason for result in stalled} == {Reason.CONNECTION_ERROR}


def test_limits_on_connections() -> None:
    with WebServer(IMAGES) as server:
        results = fetch_all([server.url(f"/slow/0.05/cat.jpg?{n}") for n in range(30)], local_settings(concurrency=5))
        assert server.most_at_once <= 5
        per_host = local_settings(connections_per_host=3)
        server.most_at_once = 0
        results += fetch_all([server.url(f"/slow/0.05/cat.jpg?{n}") for n in range(30)], per_host)
        assert 1 <= server.most_at_once <= 3
    assert [result.body == PICTURE for result in results] == [True] * 60


def test_bytes_in_flight_are_bounded(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    take = ByteBudget.take

    def watch(budget: ByteBudget, holder: object, size: int) -> bool:
        nonlocal most
        taken = take(budget, holder, size)
        most = max(most, budget.used)
        return taken

    monkeypatch.setattr(ByteBudget, "take", watch)
    settings = local_settings(timeout_s=60.0, ahead_bytes=3_000_000, max_bytes=len(BIG))
    results = fetch_all([web.url(f"/big.jpg?{number}") for number in range(24)], settings)
    assert [result.body == BIG for result in results] == [True] * 24
    assert 2_000_000 < most <= 3_000_000 + len(BIG)


def test_no_descriptors_are_left(web: WebServer) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    fetch_one(web.url("/cat.jpg"))
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        fetch_all([web.url("/cat.jpg"), web.url("/reset"), web.url("/status/404")] * 5, local_settings(retries=0))
        fetch_one("http://127.0.0.1/", allow_private_hosts=False)
    gc.collect()
    # The server's side of the connections ends a moment later.
    deadline = time.monotonic() + LONG_S
    while len(list(descriptors.iterdir())) > before + 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(descriptors.iterdir())) <= before + 2


# Its life.


def test_receiver_that_fails_harms_nobody(web: WebServer, fetcher: Fetcher) -> None:
    def fail(result: FetchResult) -> None:
        raise SystemExit("not my problem")

    for _ in range(5):
        fetcher.submit(web.url("/cat.jpg"), fail)
    assert fetcher.fetch(web.url("/cat.jpg")).body == PICTURE


def test_receiver_may_submit(web: WebServer, fetcher: Fetcher) -> None:
    results: queue.SimpleQueue[FetchResult] = queue.SimpleQueue()
    fetcher.submit(web.url("/status/404"), lambda result: fetcher.submit(web.url("/cat.jpg"), results.put))
    assert results.get(timeout=LONG_S).body == PICTURE


def test_fetch_from_a_receiver_would_wait_for_ever(web: WebServer, fetcher: Fetcher) -> None:
    errors: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def try_it(result: FetchResult) -> None:
        try:
            fetcher.fetch(web.url("/cat.jpg"))
        except RuntimeError as error:
            errors.put(error)

    fetcher.submit(web.url("/cat.jpg"), try_it)
    assert "thread" in str(errors.get(timeout=LONG_S))


def test_internal_error_ends_as_a_result_and_the_thread_lives_on(
    web: WebServer, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beam_recap.fetch.transfer import Transfer

    with monkeypatch.context() as broken:
        broken.setattr(Transfer, "start", lambda *arguments: 1 / 0)
        result = fetcher.fetch(web.url("/cat.jpg"))
        assert result.reason == Reason.CONNECTION_ERROR
        assert "ZeroDivisionError" in result.detail
    with monkeypatch.context() as broken:
        broken.setattr(Transfer, "end", lambda *arguments: 1 / 0)
        assert "ZeroDivisionError" in fetcher.fetch(web.url("/cat.jpg")).detail
    assert fetcher.fetch(web.url("/cat.jpg")).body == PICTURE


def test_libcurl_that_cannot_start_ends_as_a_result(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from beam_recap.fetch import loop

    monkeypatch.setattr(loop, "CurlEngine", lambda *arguments, **more: 1 / 0)
    assert "ZeroDivisionError" in fetch_one(web.url("/cat.jpg")).detail


def test_close_ends_what_is_open(web: WebServer) -> None:
    fetcher = Fetcher(local_settings(timeout_s=600.0, concurrency=2))
    results: list[FetchResult] = []
    for _ in range(10):
        fetcher.submit(web.url("/stall"), results.append)
    time.sleep(0.2)
    fetcher.close()
    fetcher.close()
    assert [result.reason for result in results] == [Reason.CONNECTION_ERROR] * 10
    with pytest.raises(RuntimeError, match="closed"):
        fetcher.submit(web.url("/cat.jpg"), results.append)


def test_forgotten_fetcher_closes_itself(web: WebServer) -> None:
    fetcher = Fetcher(local_settings())
    assert fetcher.fetch(web.url("/cat.jpg")).body == PICTURE
    thread = fetcher.loop._thread
    gone = weakref.ref(fetcher)
    del fetcher
    gc.collect()
    thread.join(LONG_S)
    assert gone() is None
    assert not thread.is_alive()


def test_one_thread(web: WebServer) -> None:
    before = threading.active_count()
    fetcher = Fetcher(local_settings())
    assert threading.active_count() == before + 1
    fetcher.close()
    assert threading.active_count() == before


def test_waiting_costs_no_cpu() -> None:
    with WebServer({}) as server:
        fetcher = Fetcher(local_settings(concurrency=2, timeout_s=60.0))
        for number in range(20):
            fetcher.submit(server.url(f"/stall?{number}"), lambda result: None)
        time.sleep(0.3)
        before = time.process_time()
        time.sleep(1.5)
        assert time.process_time() - before < 0.75  # a thread that spins takes all of it
        fetcher.close()
