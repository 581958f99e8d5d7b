import base64
import dataclasses
import re

import pytest
from support.report_pages import Page, assert_bars_are_of, assert_numbers_are_of, busy_run, draw_page
from support.report_runs import UNITS, jpeg, sample, small_run, with_thumbnails

from beam_recap.examples import ChosenExamples
from beam_recap.records import Outcome, Reason, Stage
from beam_recap.report.facts import RunFacts

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img onerror=alert(2) src=x>',
    "{{ 7 * 7 }}",
    "</style><b>",
    "</svg></title>]]><i>",
    "javascript:alert(3)",
)
UNSHOWN = "\x00\x08\x1b\x7f\x85\ud800\udfff\ufffe\uffff"


def page_of(outcomes: list[Outcome], **flags: str) -> Page:
    return Page(draw_page(outcomes, **flags)[0])


def test_every_number_and_bar_is_the_summarys() -> None:
    html, summary = draw_page(busy_run())
    page = Page(html)
    assert_numbers_are_of(summary, page.numbers)
    assert_bars_are_of(summary, page.bars)
    paths = {number.path for number in page.numbers}
    for path in (
        *("counts.rows", "counts.kept", "counts.rejected", "timings.elapsed_s", "timings.rows_per_s", "fetch.bytes"),
        *("distributions.similarity.kept.mean", "distributions.caption_words.kept.mean", "flags.hinted"),
        *("counts.by_stage.1.reasons.http_404", "counts.by_stage.4.ms_per_row", "counts.by_stage.5.share_of_seconds"),
        *("fetch.hosts_by_rows.29.rows", "fetch.hosts_by_failures.11.failed", "repeated_captions.new.0.rows"),
    ):
        assert path in paths
    assert "mean 4" in page.text
    assert "49.43" in page.text
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_thumbnails_and_captions() -> None:
    picture = jpeg("blue")
    page = page_of([sample(UNITS[0], 0, thumbnail=picture, caption="old words", recaption="many new words")])
    assert {base64.b64decode(src.removeprefix("data:image/jpeg;base64,")) for src in page.pictures} == {picture}
    kept = page.text[page.text.index("Kept rows") :]
    assert kept.index("old words") < kept.index("many new words")
    for text in ("0.310", "0.350", "5.25", "320 × 240 px"):
        assert text in kept


def test_flags_are_said_of_rows() -> None:
    row = sample(
        UNITS[0], 0, recaption_truncated=True, recaption_hinted=True, recaption_flags=("truncated", "prompt_echo")
    )
    page = page_of([row])
    chips = [attributes.get("title") for tag, attributes in page.tags if attributes.get("class") == "chip quiet"]
    # As a kept row, as one of the least similar ones, and as a truncated one.
    assert chips == 3 * ["cut at the longest length", "repeats the prompt", "saw the original caption"]


def test_no_request_and_no_script() -> None:
    html, _ = draw_page(with_thumbnails(small_run(), jpeg()))
    page = Page(html)
    assert len(page.pictures) > 20
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.pictures)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form", "base", "image"}
    assert not [attribute for _, attributes in page.tags for attribute in attributes if attribute.startswith("on")]
    assert not [1 for _, attributes in page.tags if {"srcset", "ping", "xlink:href", "poster"} & attributes.keys()]
    assert not re.search(r"url\(|@import|http-equiv=.refresh", html)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes] == [policy]


def test_strangers_text_is_only_text() -> None:
    rows: list[Outcome] = []
    plain: list[Outcome] = []
    for index, text in enumerate(HOSTILE):
        for into, what, names in ((rows, text, text), (plain, f"word{index}", f"name{index}")):
            row = sample(UNITS[0], 2 * index, key=names, caption=what, recaption=what, url=names, license=what)
            gone = sample(UNITS[0], 2 * index + 1, key=names, caption=what, ocr_text=what, url=names, http_status=404)
            into += [row, gone.reject(Stage.FETCH, Reason.HTTP_4XX, what)]
    hostile, quiet = page_of(rows), page_of(plain)
    gallery = [tag for tag, _ in hostile.tags if tag not in ("text", "path", "title", "g", "line", "svg")]
    assert gallery == [tag for tag, _ in quiet.tags if tag not in ("text", "path", "title", "g", "line", "svg")]
    assert not {tag for tag, _ in hostile.tags} & {"script", "b/", "i/", "x"}
    assert hostile.links == []
    for text in HOSTILE:
        assert hostile.text.count(text) >= 5


def test_hostile_hosts_and_words_are_only_text_in_charts_too() -> None:
    caption = "constructor __proto__ toString 1e5 2020-01-01 نص עברית " + "w" * 3000
    rows: list[Outcome] = [
        sample(UNITS[0], index, url=f"http://{'very' * 15}.{'long' * 15}.example/", http_status=200, caption=caption)
        for index in range(3)
    ]
    html, summary = draw_page(rows)
    page = Page(html)
    assert_bars_are_of(summary, page.bars)
    words = [label.partition(": ")[0] for label in page.bars["words-original"]]
    assert {"constructor", "tostring", "1e5", "2020", "نص"} <= set(words)


def test_characters_that_no_page_holds() -> None:
    rows = [sample(UNITS[0], 0, caption=f"a{UNSHOWN}\u202eb", recaption=UNSHOWN, url=f"http://x/{UNSHOWN}")]
    html, _ = draw_page(rows)
    assert not set(UNSHOWN) & set(html)
    html.encode()
    assert "a\ufffd" in html


def test_users_flags_are_only_text() -> None:
    page = page_of(small_run(), caption_prompt=HOSTILE[0])
    assert "script" not in {tag for tag, _ in page.tags}
    assert HOSTILE[0] in page.text


def test_web_addresses_become_links_that_tell_nobody() -> None:
    rows = [
        sample(UNITS[0], 0, url="http://example.com/a.jpg?x=1&y='2'"),
        sample(UNITS[0], 1, url="javascript:alert(1)"),
    ]
    page = page_of(rows)
    # As a kept row, and as one of the least similar ones.
    assert page.links == 2 * [
        {
            "class": "source",
            "href": "http://example.com/a.jpg?x=1&y='2'",
            "target": "_blank",
            "rel": "noopener noreferrer nofollow",
            "referrerpolicy": "no-referrer",
            "dir": "ltr",
        }
    ]
    assert page.text.count("javascript:alert(1)") == 2


def test_rejected_without_picture() -> None:
    gone = sample(UNITS[0], 0, thumbnail=b"", url="/some/file.jpg").reject(Stage.FETCH, Reason.CORRUPT, "cut off")
    unread = sample(UNITS[0], 1, url=None, caption=None).reject(Stage.READ, Reason.MISSING_URL)
    page = page_of([gone, unread])
    assert page.pictures == []
    assert page.text.count("no picture") == 2
    for text in ("corrupt", "cut off", "/some/file.jpg", "missing_url", "no URL", "(no caption)", "No row was kept."):
        assert text in page.text


def test_long_texts_are_cut() -> None:
    row = sample(UNITS[0], 0, thumbnail=jpeg(), caption="word " * 100_000, url="x" * 100_000, key="k" * 100_000)
    html, _ = draw_page([row, row.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE, "d" * 100_000)])
    assert len(html) < 150_000
    assert "word word…" in html or "word …" in html


def test_bars_are_shares_of_all_rows() -> None:
    page = page_of(small_run())
    widths = [
        float(attributes["style"].removeprefix("width: ").removesuffix("%"))
        for tag, attributes in page.tags
        if tag == "span" and attributes.get("class") in ("out", "kept", "lost") and attributes.get("style")
    ]
    assert widths[:4] == [98.0, 2.0, 82.0, 16.0]
    assert widths[14:16] == [54.0, 0.0]


@pytest.mark.parametrize("preset", ["recap-debiased", "text-debiased"])
def test_without_rows_there_are_no_charts(preset: str) -> None:
    html, summary = draw_page([], preset=preset)
    page = Page(html)
    assert page.bars == {}
    assert_numbers_are_of(summary, page.numbers)
    for text in ("No row came far enough to be measured.", "No row was kept.", "No row was rejected."):
        assert text in page.text
    for text in ("Downloads", "Most frequent words", "Speed and cost", "Look twice", "NaN", "None"):
        assert text not in page.text


def test_what_was_not_computed_is_left_out() -> None:
    nothing = {"clip_score": None, "aesthetic_score": None, "recaption": None, "recaption_clip_score": None}
    html, summary = draw_page([sample(UNITS[0], index, caption="just a picture", **nothing) for index in range(5)])
    page = Page(html)
    assert set(page.bars) == {"caption_words", "words-original"}
    assert_bars_are_of(summary, page.bars)
    assert "Caption lengths before" not in page.text
    assert "What new captions do" not in page.text
    assert "Least similar" not in page.text


def test_another_order_of_filters_is_named_where_it_costs_less() -> None:
    seconds = (0.001, 0.5, 0.001, 0.01, None)
    row = sample(UNITS[0], 0, seconds=seconds)
    rows: list[Outcome] = [row, *(row.reject(Stage.OCR, Reason.HAS_TEXT) for _ in range(9))]
    page = page_of(rows)
    assert "--filter_order=ocr,clip,aesthetic" in page.text
    cheap = dataclasses.replace(row, seconds=(0.001, 0.001, 0.001, 0.5, None))
    assert "--filter_order=" not in page_of([cheap] * 3).text.split("How it was made")[0]


def test_numbers_of_a_large_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts in the billions, a time of days, and bounds of counts: nothing is cut short."""
    from support import report_pages

    def larger(facts: RunFacts, summary: dict, examples: ChosenExamples) -> str:
        summary["counts"].update(rows=1_234_567_890, kept=987_654_321)
        summary["timings"]["elapsed_s"] = 400_000.0
        summary["fetch"]["bytes"] = 12_345_678_901_234
        summary["words"]["undercount"]["new"] = 17
        for side in summary["distributions"]["similarity"].values():
            if isinstance(side, dict):
                side["counts"] = [10_000_000 * count for count in side["counts"]]
                side["rows"] *= 10_000_000
        return real(facts, summary, examples)

    real = report_pages.report_page
    monkeypatch.setattr(report_pages, "report_page", larger)
    html, summary = draw_page(busy_run(100))
    page = Page(html)
    assert_numbers_are_of(summary, page.numbers)
    assert_bars_are_of(summary, page.bars)
    for text in ("1,234,567,890", "111.1 h", "12.3 TB", "may be too low by at most 17", "100M"):
        assert text in page.text
