import dataclasses

import pytest
from support.report_runs import UNITS, jpeg, sample

from beam_recap.records import Reason, Stage
from beam_recap.report.cards import kept_card, rejected_card, rejected_groups


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.com/a.jpg?x=1&y='2'", "example.com"),
        ("https://EXAMPLE.com:8080/%20", "example.com"),
        ("HTTPS://google.com@example.com/", "example.com"),
        ("http://b\u00fccher.example/\u202egpj", "xn--bcher-kva.example"),
        ("http://[::1]/", "[::1]"),
    ],
)
def test_a_web_address_is_a_link_and_shows_its_host(url: str, host: str) -> None:
    card = kept_card(sample(UNITS[0], 0, url=url))
    assert (card["link"], card["host"], card["address"]) == (url, host, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)//http://example.com",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "/photos/a.jpg",
        "//example.com/x",
        "http:///x",
        "http://[::1",
        "http://example.com/a b",
        "http://example.com/\u0000",
        "http://example.com/\ud800",
        "http://exa\\mple.com/",
        "vbscript:http://example.com",
        " http://example.com",
        "http://example.com\n",
    ],
)
def test_anything_else_is_text(url: str) -> None:
    card = kept_card(sample(UNITS[0], 0, url=url))
    assert (card["link"], card["host"], card["address"]) == (None, None, url)


def test_long_addresses_are_cut_text() -> None:
    card = kept_card(sample(UNITS[0], 0, url="https://example.com/" + "x" * 3000))
    assert card["link"] is None
    assert len(card["address"]) == 120


def test_without_address() -> None:
    card = kept_card(sample(UNITS[0], 0, url=None))
    assert (card["link"], card["host"], card["address"]) == (None, None, None)


@pytest.mark.parametrize(
    "thumbnail", [None, b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n", b"\xff\xd8\xff" + bytes(2**16)]
)
def test_a_thumbnail_that_is_none(thumbnail: bytes | None) -> None:
    assert kept_card(sample(UNITS[0], 0, thumbnail=thumbnail))["picture"] is None


def test_scores_and_flags() -> None:
    row = sample(UNITS[0], 0, thumbnail=jpeg(), recaption_truncated=True, unseen_quotes=("x",), ocr_boxes=2)
    card = kept_card(row)
    assert card["picture"].startswith("data:image/jpeg;base64,")
    assert card["scores"] == [("similarity", "0.310 → 0.350"), ("aesthetic", "5.25"), ("text boxes", "2")]
    assert [flag for flag, _ in card["flags"]] == ["truncated", "unseen quotes"]
    bare = dataclasses.replace(row, clip_score=None, recaption_clip_score=0.0, aesthetic_score=None, ocr_boxes=None)
    assert kept_card(bare)["scores"] == [("new caption's similarity", "0.000")]
    assert kept_card(dataclasses.replace(bare, unseen_quotes=(), recaption_truncated=False))["flags"] == []


def test_a_rejected_row_tells_what_was_read() -> None:
    card = rejected_card(sample(UNITS[0], 0, ocr_text="SALE").reject(Stage.OCR, Reason.HAS_TEXT, "0.98"))
    assert card["detail"] == "0.98"
    assert card["scores"][-1] == ("text", "SALE")


def test_groups_are_in_the_funnels_order_and_only_those_with_rows() -> None:
    rows = [
        sample(UNITS[0], 0).reject(Stage.OCR, Reason.HAS_TEXT),
        sample(UNITS[0], 1).reject(Stage.FETCH, Reason.DNS),
        sample(UNITS[0], 2).reject(Stage.OCR, Reason.HAS_TEXT),
    ]
    counts = {
        "by_stage": [
            {"stage": "fetch", "reasons": {"http_404": 5, "dns": 1}},
            {"stage": "ocr", "reasons": {"has_text": 2}},
        ]
    }
    groups = rejected_groups(rows, counts)
    assert [(group["reason"], len(group["cards"])) for group in groups] == [("dns", 1), ("has_text", 2)]
    assert groups[0]["path"] == ("counts", "by_stage", 0, "reasons", "dns")
    assert groups[0]["words"] == "host name not found"
