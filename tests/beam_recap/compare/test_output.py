"""What people see: the tables on the terminal, the page, and the numbers in compare.json."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.compared_runs import row, write_run

from beam_recap.compare import output
from beam_recap.compare.comparison import compare_runs
from beam_recap.compare.page import compare_page
from beam_recap.compare.settings import CompareSettings, parse_flags
from beam_recap.compare.terminal_table import print_tables
from beam_recap.compare.wording import difference_text, number_text, percent_text
from beam_recap.flag import ConfigError
from beam_recap.records import Reason

HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }} \x1b[31mred\x1b[0m [bold]x[/bold] \u202egnol\x00 \"' & %s"
WITHOUT_END = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Notes tags and texts, and that every tag that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in WITHOUT_END:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs")
    low = Reason.LOW_CLIP_SCORE
    a = write_run(
        folder / "a",
        [row(0, caption=HOSTILE, recaption="A red cat."), row(1, low, HOSTILE, url=f"https://e.com/{HOSTILE}"), row(2),
         *(row(number) for number in range(10, 1_200))],
    )  # fmt: skip
    b = write_run(
        folder / "b",
        [row(0, caption=HOSTILE, recaption=f"A blue cat. {HOSTILE}", recaption_clip_score=0.75),
         row(1, url=f"https://e.com/{HOSTILE}"), row(2, low, HOSTILE),
         *(row(number) for number in range(10, 1_200))],
        config={"caption_prompt": HOSTILE, "min_clip_score": None},
    )  # fmt: skip
    return compare_runs(parse_flags([str(a), str(b)]))


def printed(comparison: dict[str, Any]) -> str:
    file = io.StringIO()
    print_tables(comparison, file)
    return file.getvalue()


def test_the_terminal(comparison: dict[str, Any]) -> None:
    text = printed(comparison)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == f"A {comparison['a']['directory']} (1,193 rows, 1,192 kept)"
    assert "--min_clip_score 0.3 none" in lines
    assert "low_clip_score 1 1 =" in lines
    assert "kept in both 1,191 99.8 %" in lines
    assert "kept clip: low_clip_score 1" in lines
    assert "re_clip_score 1 0 0 0.5 0.5002 0.0002 0 0.25" in lines
    assert any(line.startswith("re_caption 1 0 0 0.1 %") for line in lines)
    assert "Rows are matched by URL and original caption." in lines
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)  # nothing that a terminal obeys
    assert "[bold]x" in text


def test_a_terminal_that_knows_only_ascii(comparison: dict[str, Any]) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_tables(comparison, file)
    file.flush()
    assert b"kept in both" in raw.getvalue()


def test_the_page(comparison: dict[str, Any]) -> None:
    text = compare_page(comparison)
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert "script" not in names and not {"src", "href", "onerror", "onload"} & {
        name for _, attributes in page.tags for name in attributes
    }
    assert "url(" not in text and "@import" not in text
    assert "<script>alert(1)</script> {{ 7 * 7 }}" in page.text  # as text
    assert "\x1b" not in text and "\x00" not in text
    for number in ("1,193", "1,192", "1,191"):
        assert number in page.text
    assert "kept → clip: low_clip_score newly rejected (kept in A) · 1 of 1" in page.text
    assert "clip: low_clip_score → kept newly kept (rejected in A) · 1 of 1" in page.text
    assert re.search(r"<del>red</del>", text) and re.search(r"<ins>blue</ins>", text)
    assert "0.5 0.75 +0.25" in page.text
    assert "prefers-color-scheme: dark" in text and "max-width: 720px" in text


def test_the_page_of_runs_that_do_not_add_up_and_have_no_rows(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [])
    b = write_run(tmp_path / "b", [])
    found = compare_runs(parse_flags([str(a), str(b)]))
    assert "No row, no value and no column differs." in Page(compare_page(found)).text
    summary = json.loads((b / "summary.json").read_text())
    summary["counts"]["kept"] = 1
    (b / "summary.json").write_text(json.dumps(summary))
    found = compare_runs(parse_flags([str(a), str(b)]))
    sentence = "B's files hold 0 rows with the outcome 'kept', its summary.json says 1."
    assert sentence in Page(compare_page(found)).text
    assert f"! {sentence}" in printed(found)


def test_files(comparison: dict[str, Any], tmp_path: Path) -> None:
    paths = output.write(f"{tmp_path}/deep/out/", comparison)
    assert [Path(path).name for path in paths] == ["compare.json", "compare.html"]
    written = json.loads(Path(paths[0]).read_text())
    assert written == json.loads(json.dumps(comparison))
    assert Path(paths[1]).read_text() == compare_page(comparison)
    assert output.write(None, comparison) == []


def test_a_runs_own_directory_is_no_output(tmp_path: Path) -> None:
    run = str(write_run(tmp_path / "a", [row(0)]))
    settings: CompareSettings = parse_flags([run, run, f"--output={run}/"])
    with pytest.raises(ConfigError, match=r"--output=.*: is a run's own directory; give another"):
        output.check(settings)


def test_numbers_as_people_read_them() -> None:
    values = [None, True, 1234567, 0.5, 1234.56789, 0.00001234, 1e12, 0.0, "nan", -0.25]
    texts = ["–", "true", "1,234,567", "0.5", "1,234.5679", "1.23e-05", "1e+12", "0", "nan", "-0.25"]
    assert [number_text(value) for value in values] == texts
    assert [difference_text(value) for value in (3, -3, 0, 0.0, -0.25, None)] == ["+3", "−3", "=", "=", "−0.25", "–"]
    assert [percent_text(part, 10_000) for part in (0, 1, 5, 5_000, 9_999, 10_000)] == [
        "0.0 %", "< 0.1 %", "0.1 %", "50.0 %", "> 99.9 %", "100.0 %",
    ]  # fmt: skip
    assert percent_text(0, 0) == "–"
