"""Downloads in flight while somebody computes: bounds, order, and what is left of a window that nobody wants."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fetching import BIG, IMAGES, LONG_S, PICTURE, local_settings
from support.web_server import WebServer

from beam_recap.fetch import Fetcher, FetchWindow
from beam_recap.fetch.local_files import LocalReader
from beam_recap.records import Reason


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer(IMAGES) as server:
        yield server


@pytest.fixture
def make_fetcher() -> Iterator[Callable[..., Fetcher]]:
    made: list[Fetcher] = []

    def make(**changes: object) -> Fetcher:
        made.append(Fetcher(local_settings(**changes)))
        return made[-1]

    yield make
    for fetcher in made:
        fetcher.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("ahead_rows", [1, 2, 7, 1000])
def test_each_row_comes_out_once(web: WebServer, make_fetcher: Callable[..., Fetcher], ahead_rows: int) -> None:
    paths = ["/cat.jpg", "/status/404", "/empty", "/redirect/1/cat.jpg"]
    window: FetchWindow[int] = FetchWindow(make_fetcher(ahead_rows=ahead_rows))
    out: dict[int, object] = {}
    for number in range(40):
        window.put(number, web.url(paths[number % 4]))
        for item, result in window.ready():
            assert item not in out
            out[item] = result.reason
        assert len(window) <= ahead_rows
    for item, result in window.drain():
        assert item not in out
        out[item] = result.reason
    assert out == {n: [None, Reason.HTTP_404, Reason.EMPTY_BODY, None][n % 4] for n in range(40)}
    assert len(window) == 0
    assert list(window.drain()) == []


def test_put_and_ready_do_not_wait_while_there_is_room(make_fetcher: Callable[..., Fetcher]) -> None:
    window: FetchWindow[int] = FetchWindow(make_fetcher(ahead_rows=100, timeout_s=60.0))
    with WebServer(IMAGES) as slow:
        start = time.monotonic()
        for number in range(50):
            window.put(number, slow.url("/stall"))
            assert list(window.ready()) == []
        assert time.monotonic() - start < LONG_S / 4
        window.close()


def test_slow_rows_do_not_hold_up_the_others(web: WebServer, make_fetcher: Callable[..., Fetcher]) -> None:
    window: FetchWindow[str] = FetchWindow(make_fetcher(connections_per_host=2, timeout_s=60.0, ahead_rows=400))
    with WebServer(IMAGES) as slow:
        for number in range(200):
            window.put("slow", slow.url(f"/stall?{number}", host="localhost"))
        fast = 0
        for number in range(190):
            window.put("fast", web.url(f"/cat.jpg?{number}"))
            fast += len(list(window.ready()))
        for item, result in window.drain():
            assert (item, result.body) == ("fast", PICTURE)
            fast += 1
            if fast == 190:
                break
        assert slow.most_at_once <= 2
        window.close()


def test_work_goes_on_while_nobody_looks(web: WebServer, make_fetcher: Callable[..., Fetcher]) -> None:
    window: FetchWindow[int] = FetchWindow(make_fetcher())
    with WebServer(IMAGES) as server:
        for number in range(100):
            window.put(number, server.url(f"/cat.jpg?{number}"))
        wait_until(lambda: server.requests.total() == 100)
        assert len(window) == 100
        assert len(list(window.drain())) == 100


def test_bytes_that_are_not_taken_stop_the_downloads(make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher(ahead_bytes=8_000_000, timeout_s=3.0)
    window: FetchWindow[int] = FetchWindow(fetcher)
    with WebServer(IMAGES) as server:
        for number in range(40):
            window.put(number, server.url(f"/big.jpg?{number}"))
        wait_until(lambda: fetcher.loop._budget.used > 4_000_000)
        time.sleep(4.0)  # longer than the deadline, which is not the server's fault
        assert fetcher.loop._budget.used <= 8_000_000 + len(BIG)
        assert server.requests.total() < 20
        assert [result.body == BIG for _, result in window.drain()] == [True] * 40
        wait_until(lambda: fetcher.loop._budget.used == 0)


def test_closed_and_forgotten_windows_leave_nothing(web: WebServer, make_fetcher: Callable[..., Fetcher]) -> None:
    fetcher = make_fetcher(ahead_bytes=8_000_000, concurrency=4)
    closed: FetchWindow[int] = FetchWindow(fetcher)
    forgotten: FetchWindow[int] = FetchWindow(fetcher)
    with WebServer(IMAGES) as server:
        for number in range(100):
            closed.put(number, server.url(f"/big.jpg?{number}"))
            forgotten.put(number, server.url(f"/big.jpg?{number}"))
        wait_until(lambda: fetcher.loop._budget.used > 4_000_000)
        closed.close()
        closed.close()
        assert list(closed.drain()) == []
        del forgotten
        gc.collect()
        wait_until(lambda: fetcher.loop._budget.used == 0 and not fetcher.loop._open)
        assert server.requests.total() < 100  # what had not started was not asked for
    another: FetchWindow[int] = FetchWindow(fetcher)
    another.put(1, web.url("/cat.jpg"))
    assert [(item, result.body) for item, result in another.drain()] == [(1, PICTURE)]


# Files.


def test_files_beside_urls(web: WebServer, make_fetcher: Callable[..., Fetcher], tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(PICTURE)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "large.jpg").write_bytes(bytes(300_000))
    rows = {
        web.url("/cat.jpg"): None,
        str(tmp_path / "a b.jpg"): None,
        f"file://{tmp_path}/a%20b.jpg": None,
        str(tmp_path / "empty.jpg"): Reason.EMPTY_BODY,
        str(tmp_path / "large.jpg"): Reason.TOO_LARGE,
        str(tmp_path / "none.jpg"): Reason.MISSING_IMAGE,
        str(tmp_path): Reason.INVALID_URL,
        "/dev/zero": Reason.INVALID_URL,
        "/nul\0byte": Reason.INVALID_URL,
        "file://elsewhere/x.jpg": Reason.INVALID_URL,
        "relative/x.jpg": Reason.INVALID_URL,
    }
    window: FetchWindow[str] = FetchWindow(make_fetcher(), LocalReader(max_bytes=200_000))
    for url in rows:
        window.put(url, url)
    results = dict(window.drain())
    assert {url: result.reason for url, result in results.items()} == rows
    assert {result.body for url, result in results.items() if rows[url] is None} == {PICTURE}


def test_files_are_not_read_unless_they_may_be(make_fetcher: Callable[..., Fetcher], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    window: FetchWindow[int] = FetchWindow(make_fetcher())
    for url in (f"file://{tmp_path}/a.jpg", str(tmp_path / "a.jpg"), "gs://bucket/a.jpg"):
        window.put(0, url)
    assert [result.reason for _, result in window.drain()] == [Reason.INVALID_URL] * 3


def test_more_files_than_are_read_ahead(make_fetcher: Callable[..., Fetcher], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    reader = LocalReader(max_bytes=200_000)
    abandoned: FetchWindow[int] = FetchWindow(make_fetcher(), reader)
    window: FetchWindow[int] = FetchWindow(make_fetcher(), reader)
    for number in range(100):
        abandoned.put(number, str(tmp_path / "a.jpg"))
    abandoned.close()
    for number in range(100):
        window.put(number, str(tmp_path / "a.jpg"))
    assert len([result.body for _, result in window.drain() if result.body == PICTURE]) == 100
