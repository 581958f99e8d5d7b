import base64
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.report_runs import UNITS, config_of, finish, jpeg, sample, small_run, with_thumbnails

from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from beam_recap.report.run_report import write_reports

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img onerror=alert(2) src=x>',
    "{{ 7 * 7 }}",
    "</style><b>",
    "javascript:alert(3)",
)


class _Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[str]:
        return [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]


def _page(output: Path, outcomes: list[Outcome], **flags: str) -> _Page:
    facts, stats = finish(config_of(output, **flags), outcomes)
    write_reports(facts, stats)
    return _Page((output / "report.html").read_text())


def test_thumbnails_and_captions(tmp_path: Path) -> None:
    picture = jpeg("blue")
    page = _page(tmp_path, [sample(UNITS[0], 0, thumbnail=picture, caption="old words", recaption="many new words")])
    assert [base64.b64decode(src.removeprefix("data:image/jpeg;base64,")) for src in page.pictures()] == [picture]
    assert page.text.index("old words") < page.text.index("many new words")
    assert "0.310" in page.text
    assert "0.350" in page.text


def test_no_request_and_no_script(tmp_path: Path) -> None:
    page = _page(tmp_path, with_thumbnails(small_run(), jpeg()))
    assert len(page.pictures()) > 20
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.pictures())
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "a", "form", "base"}
    assert not [attribute for _, attributes in page.tags for attribute in attributes if attribute.startswith("on")]
    assert not re.search(r"url\(|@import|http-equiv=.refresh", (tmp_path / "report.html").read_text())


def test_strangers_text_is_only_text(tmp_path: Path) -> None:
    rows: list[Outcome] = []
    for index, text in enumerate(HOSTILE):
        row = sample(UNITS[0], 2 * index, thumbnail=jpeg(), key=text, caption=text, recaption=text, url=text)
        gone = sample(UNITS[0], 2 * index + 1, thumbnail=b"", key=text, caption=text, ocr_text=text, url=text)
        rows += [row, gone.reject(Stage.FETCH, Reason.HTTP_4XX, text)]
    plain = [sample(UNITS[0], index, thumbnail=jpeg()) for index in range(10)]
    for index in range(1, 10, 2):
        gone = sample(UNITS[0], index, thumbnail=b"", ocr_text="x")
        plain[index] = gone.reject(Stage.FETCH, Reason.HTTP_4XX, "y")
    hostile = _page(tmp_path / "a", rows)
    quiet = _page(tmp_path / "b", plain)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in quiet.tags]
    assert [sorted(attributes) for _, attributes in hostile.tags] == [
        sorted(attributes) for _, attributes in quiet.tags
    ]
    for text in HOSTILE:
        assert hostile.text.count(text) >= 5


def test_users_flags_are_only_text(tmp_path: Path) -> None:
    page = _page(tmp_path / "<i>out", small_run(), caption_prompt=HOSTILE[0])
    assert "script" not in {tag for tag, _ in page.tags}
    assert "i" not in {tag for tag, attributes in page.tags if not attributes}
    assert "<i>out" in page.text
    assert HOSTILE[0] in page.text


def test_rejected_without_picture(tmp_path: Path) -> None:
    gone = sample(UNITS[0], 0, thumbnail=b"").reject(Stage.FETCH, Reason.DNS, "no such host")
    unread = sample(UNITS[0], 1, url=None, caption=None).reject(Stage.READ, Reason.MISSING_URL)
    page = _page(tmp_path, [gone, unread])
    assert page.pictures() == []
    assert page.text.count("no picture") == 2
    for text in ("dns", "no such host", "https://example.com/0.jpg", "missing_url", "(no caption)"):
        assert text in page.text


@pytest.mark.parametrize("thumbnail", [b"<svg onload=alert(1)>", b"\x89PNG\r\n", b"\xff\xd8\xff" + bytes(2**20)])
def test_thumbnail_that_is_none(tmp_path: Path, thumbnail: bytes) -> None:
    page = _page(tmp_path, [sample(UNITS[0], 0, thumbnail=thumbnail)])
    assert page.pictures() == []
    assert "no picture" in page.text


def test_long_captions_are_cut(tmp_path: Path) -> None:
    page = _page(tmp_path, [sample(UNITS[0], 0, thumbnail=jpeg(), caption="word " * 100_000)])
    assert len(page.text) < 30_000
    assert "word word…" in page.text or "word …" in page.text


def test_bars_are_shares_of_all_rows(tmp_path: Path) -> None:
    page = _page(tmp_path, small_run())
    widths = [
        float(re.fullmatch(r"width: ([\d.]+)%", attributes["style"]).group(1))
        for tag, attributes in page.tags
        if tag == "span" and "width" in (attributes.get("style") or "")
    ]
    assert widths[:4] == [98.0, 2.0, 82.0, 16.0]
    assert widths[-2:] == [54.0, 0.0]
    assert len(widths) == 16


def _examples(tmp_path: Path, outcomes: list[Outcome], **flags: str) -> list[tuple[Outcome, ...]]:
    return [shard.examples for shard in finish(config_of(tmp_path, **flags), outcomes)[1]]


def test_examples_are_of_the_first_shard_only(tmp_path: Path) -> None:
    first, second, third = _examples(tmp_path, with_thumbnails(small_run(), jpeg()), rows_per_file="20")
    assert next(outcome for outcome in first if isinstance(outcome, Sample)).key == "000000001"
    assert second == third == ()


def test_examples_are_bounded_and_of_every_reason(tmp_path: Path) -> None:
    thumbnail = jpeg()
    rows: list[Outcome] = [sample(UNITS[0], index, thumbnail=thumbnail) for index in range(100)]
    rows += [
        sample(UNITS[0], 100 + index, thumbnail=thumbnail).reject(Stage.CLIP, Reason.LOW_CLIP_SCORE)
        for index in range(100)
    ]
    others = [reason for reason in Reason if reason != Reason.LOW_CLIP_SCORE]
    rows += [
        sample(UNITS[0], 200 + index, thumbnail=b"").reject(Stage.FETCH, others[index // 5])
        for index in range(5 * len(others))
    ]
    (examples,) = _examples(tmp_path, rows)
    kept = [outcome for outcome in examples if isinstance(outcome, Sample)]
    rejected = [outcome for outcome in examples if isinstance(outcome, Rejection)]
    assert [outcome.index for outcome in kept] == list(range(64))
    assert len(rejected) == 64
    assert {outcome.reason for outcome in rejected} == set(Reason)
    places = [outcome.sample.index for outcome in rejected]
    assert places == sorted(places)


def test_rows_beyond_the_first_are_no_examples(tmp_path: Path) -> None:
    kept = sample(UNITS[0], 0, thumbnail=b"")  # marked, but it has no picture
    decoded = sample(UNITS[0], 1).reject(Stage.CLIP, Reason.LOW_CLIP_SCORE)  # not marked
    assert _examples(tmp_path, [kept, decoded]) == [()]


def test_examples_carry_no_pixels(tmp_path: Path) -> None:
    (examples,) = _examples(tmp_path, with_thumbnails(small_run(), jpeg()))
    for outcome in examples:
        row = outcome.sample if isinstance(outcome, Rejection) else outcome
        assert row == dataclasses.replace(row, image=None, image_bytes=None, image_embedding=None)
