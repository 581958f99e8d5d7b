"""What the tests of the fetcher share."""

from __future__ import annotations

import os
import queue

from beam_recap.fetch import Fetcher, FetchResult, FetchSettings

PICTURE = b"\xff\xd8\xff" + os.urandom(100_000)
BIG = os.urandom(2_000_000)
IMAGES = {"/cat.jpg": PICTURE, "/big.jpg": BIG, "/stra%C3%9Fe.jpg": b"street"}

LONG_S = 20  # far more than anything here takes, unless it hangs


def local_settings(**changes: object) -> FetchSettings:
    """Settings with which servers on loopback can be reached."""
    return FetchSettings(**{"allow_private_hosts": True, "ports": (), "timeout_s": 10.0, **changes})  # type: ignore[arg-type]


def fetch_one(url: str, **changes: object) -> FetchResult:
    """Fetches one URL with a fetcher of its own."""
    fetcher = Fetcher(local_settings(**changes))
    try:
        return fetcher.fetch(url)
    finally:
        fetcher.close()


def fetch_all(urls: list[str], settings: FetchSettings) -> list[FetchResult]:
    """Fetches URLs at once; the results in their order. Checks that each has exactly one."""
    fetcher = Fetcher(settings)
    results: queue.SimpleQueue[tuple[int, FetchResult]] = queue.SimpleQueue()
    for number, url in enumerate(urls):
        fetcher.submit(url, lambda result, number=number: results.put((number, result)))
    ended = dict(results.get(timeout=LONG_S) for _ in urls)
    assert len(ended) == len(urls)
    fetcher.close()
    assert results.empty()  # nothing was called twice
    return [ended[number] for number in range(len(urls))]
