"""`FetchImage`: each row gets its picture or its reason, exactly once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from support.collected import run_stage
from support.fetching import local_settings
from support.pictures import draw_photo, encode
from support.web_server import WebServer

from beam_recap.images import DecodeSettings
from beam_recap.records import Reason, Sample
from transforms.fetch_image import FetchImage

PHOTO = encode(draw_photo(400, 300), "JPEG")
ALIKE = encode(draw_photo(300, 200), "PNG")


@pytest.fixture
def web() -> Iterator[WebServer]:
    answers = {"/tagged.jpg": (200, PHOTO, {"X-Robots-Tag": "noai"})}
    with WebServer({"/a.jpg": PHOTO, "/b.png": ALIKE}, answers=answers) as server:
        yield server


def rows_of(urls: list[str | None], **fields: object) -> list[Sample]:
    return [Sample(unit="u", index=i, uid=f"u{i}", key=str(i), url=url, **fields) for i, url in enumerate(urls)]


def test_row_has_picture_size_digest_and_status(web: WebServer) -> None:
    decode = DecodeSettings(image_size=200, read_exif=True)
    (row,), out = run_stage(rows_of([web.url("/a.jpg")]), FetchImage(local_settings(), decode))
    assert not out
    assert row.image is not None and row.image.shape == (150, 200, 3)
    assert (row.width, row.height, row.image_format, row.http_status) == (400, 300, "JPEG", 200)
    assert row.sha256 == hashlib.sha256(PHOTO).hexdigest()
    assert row.image_bytes is None


@pytest.mark.parametrize("ahead_rows", [1, 3, 2048])
def test_each_row_ends_once_with_its_reason_and_status(web: WebServer, ahead_rows: int) -> None:
    endings: list[tuple[str | None, Reason | None, int | None]] = [
        (web.url("/a.jpg"), None, 200),
        (web.url("/status/404"), Reason.HTTP_404, 404),
        (web.url("/status/503"), Reason.HTTP_5XX, 503),
        (web.url("/html"), Reason.NOT_AN_IMAGE, 200),
        (web.url("/tagged.jpg"), Reason.OPTED_OUT, 200),
        ("gopher://x/", Reason.INVALID_URL, None),
        (None, Reason.MISSING_URL, None),
        (web.url("/redirect/2/b.png"), None, 200),
    ]
    rows = rows_of([url for url, _, _ in endings] * 8)
    settings = local_settings(ahead_rows=ahead_rows, retries=0)
    kept, out = run_stage(rows, FetchImage(settings))
    assert sorted([row.index for row in kept] + [row.sample.index for row in out]) == list(range(len(rows)))
    for row in kept:
        assert endings[row.index % 8][1:] == (None, row.http_status)
    for rejection in out:
        assert endings[rejection.sample.index % 8][1:] == (rejection.reason, rejection.sample.http_status)
        assert rejection.sample.image is None


def test_counters_by_status_and_reason(web: WebServer) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    urls = [web.url("/a.jpg")] * 3 + [web.url("/status/404")] * 2 + [web.url("/html"), "http://unknown.invalid/"]
    _ = pipeline | beam.Create(rows_of(urls)) | FetchImage(local_settings(retries=0))
    counters = pipeline.run().metrics().query()["counters"]
    found = Counter({counter.key.metric.name: counter.committed for counter in counters})
    assert found["http_status_200"] == 4
    assert found["http_status_404"] == 2
    assert (found["rejected_http_404"], found["rejected_not_an_image"], found["rejected_dns"]) == (2, 1, 1)
    assert (found["rows_in"], found["rows_kept"], found["rows_rejected"]) == (7, 3, 4)


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_digest_is_compared_where_one_is_given(web: WebServer, algorithm: str) -> None:
    good = hashlib.new(algorithm, PHOTO).hexdigest()
    bad = hashlib.new(algorithm, ALIKE).hexdigest()
    for digest, reason in (
        (good, None),
        (good.upper(), None),
        (bad, Reason.HASH_MISMATCH),
        ("?", Reason.HASH_MISMATCH),
    ):
        rows = rows_of([web.url("/a.jpg")], expected_digest=digest)
        rows += [Sample(unit="u", index=1, uid="u1", key="1", image_bytes=PHOTO, expected_digest=digest)]
        kept, out = run_stage(rows, FetchImage(local_settings()))
        assert [row.reason for row in out] == ([] if reason is None else [reason] * 2)
        assert len(kept) + len(out) == 2


def test_pictures_in_files(web: WebServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    rows = rows_of([str(tmp_path / "a.jpg"), f"file://{tmp_path}/a.jpg", str(tmp_path / "b.jpg"), web.url("/a.jpg")])
    kept, out = run_stage(rows, FetchImage(local_settings(allow_local_files=True)))
    assert [row.index for row in kept] == [0, 1, 3]
    assert [row.reason for row in out] == [Reason.MISSING_IMAGE]
    kept, out = run_stage(rows, FetchImage(local_settings()))
    assert [row.reason for row in out] == [Reason.INVALID_URL] * 3


def test_window_of_an_abandoned_bundle_leaves_nothing(web: WebServer) -> None:
    from transforms.fetch_image import _FetchFn

    fn = _FetchFn(local_settings(), DecodeSettings())
    fn.setup()
    fn.start_bundle()
    for row in rows_of([web.url("/a.jpg")] * 5):
        list(fn.process(row))  # the bundle fails here, and its finish_bundle is never called
    fn.start_bundle()
    (second,) = rows_of([web.url("/b.png")])
    found = [*fn.process(second), *(windowed.value for windowed in fn.finish_bundle())]
    assert [row.image_format for row in found if isinstance(row, Sample)] == ["PNG"]
    fn.teardown()
