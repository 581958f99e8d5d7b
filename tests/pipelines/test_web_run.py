"""The whole job over HTTP, on a web where everything that can go wrong does."""

from __future__ import annotations

import time

import pytest
from support.recap_runs import assert_accounts, kept, reasons, rejected, run_here
from support.shards import jpeg, write_parquet
from support.web_server import WebServer

_MODELS_OFF = ("--clip_model=none", "--captioner=none")
# path -> the reason it must end with; None: kept
_WEB = {
    "/a.jpg": None,
    "/redirect/1/a.jpg": None,
    "/redirect/3/a.jpg": None,
    "/flaky/503/1/a.jpg": None,
    "/flaky/429/1/a.jpg": None,
    "/reset-once/a.jpg": None,
    "/slow/0.3/a.jpg": None,
    "/redirect/20/a.jpg": "redirect_loop",
    "/status/404": "http_404",
    "/status/403": "http_403",
    "/status/429": "http_429",
    "/status/500": "http_5xx",
    "/stall": "timeout",
    "/drip": "too_slow",
    "/html": "not_an_image",
    "/endless": "too_large",
    "/huge": "too_large",
    "/empty": "empty_body",
    "/reset": "reset",
    "/redirect-to?url=file:///etc/passwd": "invalid_url",
    "/cut.jpg": "corrupt",
    "/tiny.jpg": "too_small",
}


@pytest.fixture
def web():
    picture = jpeg(120, 90, "red")
    images = {"/a.jpg": picture, "/cut.jpg": picture[: len(picture) // 2], "/tiny.jpg": jpeg(8, 8, "blue")}
    with WebServer(images) as server:
        yield server


def _shard(tmp_path, web, paths):
    shard = tmp_path / "web.parquet"
    urls = [web.url(path) for path in paths]
    write_parquet(shard, {"url": urls, "text": [f"row {i}" for i in range(len(urls))]}, row_group_size=7)
    return shard


def test_every_answer_has_its_outcome(tmp_path, web):
    shard = _shard(tmp_path, web, _WEB)
    output = tmp_path / "out"
    flags = ["--allow_private_hosts=true", "--fetch_timeout_s=3", "--fetch_retries=1", "--fetch_max_bytes=2000000"]
    started = time.monotonic()
    assert run_here(f"--input={shard}", f"--output={output}", "--unit_rows=5", *_MODELS_OFF, *flags) == 0
    assert time.monotonic() - started < 60  # nothing hangs on the stalled and the endless
    assert_accounts(output, len(_WEB))
    ended = {row["url"].removeprefix(web.url("")): row["reason"] for row in rejected(output)}
    expected = {path: reason for path, reason in _WEB.items() if reason}
    assert ended == expected
    table = kept(output).to_pydict()
    assert [url.removeprefix(web.url("")) for url in table["url"]] == [
        path for path, reason in _WEB.items() if not reason
    ]
    assert len(set(table["sha256"])) == 1
    assert table["re_caption"] == [None] * len(table["url"])  # not computed is null
    assert table["org_clip_score"] == [None] * len(table["url"])


def test_private_addresses_are_refused_unless_told(tmp_path, web):
    shard = _shard(tmp_path, web, ["/a.jpg", "/a.jpg"])
    output = tmp_path / "out"
    assert run_here(f"--input={shard}", f"--output={output}", *_MODELS_OFF) == 0
    assert_accounts(output, 2)
    assert set(reasons(output)) == {"private_address"}
    assert not web.requests


def test_retry_reopens_what_may_pass_now(tmp_path, web):
    shard = _shard(tmp_path, web, ["/a.jpg", "/flaky/503/1/a.jpg", "/status/404"])
    output = tmp_path / "out"
    flags = [f"--input={shard}", f"--output={output}", "--allow_private_hosts=true", "--fetch_retries=0", *_MODELS_OFF]
    assert run_here(*flags) == 0
    assert reasons(output) == {"http_5xx": 1, "http_404": 1}
    asked = web.requests.copy()
    assert run_here(*flags) == 0
    assert web.requests == asked  # everything has an outcome: nothing is fetched again
    assert run_here(*flags, "--retry=transient") == 0
    assert reasons(output) == {"http_404": 1}
    assert web.requests["/status/404"] == asked["/status/404"]
    assert run_here(*flags, "--retry=all") == 0
    assert web.requests["/status/404"] == asked["/status/404"] + 1
    assert web.requests["/a.jpg"] == asked["/a.jpg"]
    assert_accounts(output, 3)
