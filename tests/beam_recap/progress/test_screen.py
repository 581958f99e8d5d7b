"""What a terminal shows: it fits, it obeys NO_COLOR, and says what the summary says."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from beam_recap.progress import funnel
from beam_recap.progress.phases import Phase
from beam_recap.progress.screen import console_of, draw
from beam_recap.progress.status import StageStatus, Status
from beam_recap.progress.totals import Total
from beam_recap.terminal import TERMINAL

LONG = Counter(low_aesthetic_score=123_456, low_clip_score=98_765, has_text=4_321, http_404=999, dns=99, timeout=7)
STAGES = tuple(StageStatus(name, 12.3, 4567.8) for name in ("fetch", "clip", "aesthetic", "ocr", "caption"))


def status(**values: Any) -> Status:
    usual: dict[str, Any] = {
        "phase": Phase.ROWS,
        "done": 1_234_567,
        "resumed": 1_200,
        "kept": 1_005_720,
        "rejected": LONG,
        "total": Total(98_765_432),
        "rows_per_s": 1234.5,
        "left_s": 200_000.0,
        "left_at_most": True,
        "stages": STAGES,
        "fetched_bytes": 3_400_000_000,
        "bytes_per_s": 12_300_000.0,
        "elapsed_s": 4000.0,
    }
    return Status(**{**usual, **values})


def shown(drawn: Status, width: int, *, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    console = console_of(stream, width=width, height=24, is_screen=True)
    console.print(draw(drawn, width))
    stream.flush()
    return raw.getvalue().decode(encoding)


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("width", [40, 60, 100, 200])
@pytest.mark.parametrize("values", [{}, {"total": Total()}, {"total": Total(2_000_000, True)}, {"phase": Phase.FILES}])
def test_it_fits(width: int, values: dict[str, Any]) -> None:
    lines = plain(shown(status(**values), width))
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 18
    text = " ".join(" ".join(lines).split())
    assert "kept 1,005,720" in text and "low_aesthetic_score 123,456" in text and "dns 99, others 7" in text


def test_everything_is_there() -> None:
    text = "\n".join(plain(shown(status(), 100)))
    for fact in (
        "1,234,567 of 98,765,432 rows  1 %  ETA at most 2 d 7 h",
        "rejected 227,647: low_aesthetic_score 123,456",
        "1,234 rows/s; 3.4 GB downloaded, 12.3 MB/s; resumed: 1,200 rows were done",
        "1:06:40",
    ):
        assert fact in text
    assert re.search(r"^caption +12\.3 +4,568$", text, re.MULTILINE)


def test_what_is_not_known_is_not_said() -> None:
    text = "\n".join(plain(shown(status(total=Total(), left_s=None, rows_per_s=None, resumed=0, done=1), 100)))
    assert "1 row so far" in text
    assert "%" not in text and "ETA" not in text and "resumed" not in text
    about = "\n".join(plain(shown(status(total=Total(2_000_000, True)), 100)))
    assert "1,234,567 of about 2,000,000 rows  61 %" in about
    loading = plain(shown(status(phase=Phase.LOADING, done=0, stages=()), 100))
    assert loading == [f"Loading models{'1:06:40':>86}"]


def test_colours_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = re.compile(r"\x1b\[[\d;]*\b(3[0-7]|38|9[0-7])\b[\d;]*m")
    assert colour.search(shown(status(), 80))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search(shown(status(), 80))


def test_a_terminal_without_unicode() -> None:
    assert shown(status(), 80, encoding="ascii").isascii()


SUMMARY: dict[str, Any] = {
    "counts": {
        "rows": 96,
        "kept": 44,
        "rejected": 52,
        "kept_percent": 45.83,
        "by_stage": [
            {"stage": "read", "rows_in": 96, "rejected": 0, "rows_out": 96, "reasons": {}, "ms_per_row": None},
            {
                "stage": "clip",
                "rows_in": 96,
                "rejected": 52,
                "rows_out": 44,
                "reasons": {"low_clip_score": 50, "missing_caption": 2},
                "ms_per_row": 5.432,
            },
        ],
    },
    "slices": None,
    "timings": {"elapsed_s": 12.3, "rows_per_s": 7.8, "attempt": 1},
    "files": [
        {"name": "data/train-00000-of-00002.parquet", "rows": 30, "bytes": 1200},
        {"name": "data/train-00001-of-00002.parquet", "rows": 14, "bytes": 800},
        {"name": "rejected/part-00000-of-00001.parquet", "rows": 52, "bytes": 999},
    ],
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for name in ("data", "rejected", "webdataset", "_checkpoint"):
        (tmp_path / name).mkdir()
    for name in ("summary.json", "README.md", "report.html"):
        (tmp_path / name).touch()
    return tmp_path


def test_the_end_without_a_terminal(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    funnel.say_end(SUMMARY, str(output))
    lines = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    width = len(f"{output}/summary.json")
    assert lines == [
        "",
        "stage  rows in  rejected  rows out  ms/row  top reasons",
        "read        96         0        96",
        "clip        96        52        44     5.4  low_clip_score 50, missing_caption 2",
        "Done: 96 rows, 44 kept (45.83 %), 52 rejected.",
        "This run took 0:12, 7.8 rows/s.",
        "Written:",
        f"  {f'{output}/data/':<{width}}  2 files, 2 kB",
        f"  {f'{output}/rejected/':<{width}}  1 file, 999 B",
        f"  {output}/webdataset/",
        f"  {output}/summary.json",
        f"  {output}/README.md",
        f"  {output}/report.html",
    ]


def test_the_end_on_a_narrow_terminal(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(type(TERMINAL), "stream", property(lambda _: stream))
    monkeypatch.setattr(type(TERMINAL), "is_screen", property(lambda _: True))
    monkeypatch.setattr(type(TERMINAL), "size", property(lambda _: (60, 20)))
    funnel.say_end(SUMMARY, str(output))
    lines = plain(stream.getvalue())
    assert "clip: low_clip_score 50, missing_caption 2" in lines
    assert max(len(line) for line in lines if str(output) not in line) <= 60


def test_later_attempts_and_slices() -> None:
    counts, timings = SUMMARY["counts"], {"elapsed_s": 3723, "rows_per_s": None, "attempt": 3}
    slices = {"total": 10, "done": [1, 4]}
    told = funnel.total_lines({"counts": {**counts, "kept_percent": None}, "timings": timings, "slices": slices})
    assert told == [
        "Done: 96 rows, 44 kept, 52 rejected, in 2 of 10 slices.",
        "This run took 1:02:03; it was attempt 3, and the rows are those of all.",
    ]
