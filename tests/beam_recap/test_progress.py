from __future__ import annotations

import logging
import re
import threading

import pytest

from beam_recap import progress
from beam_recap.progress import PERIOD_S, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(logging.getLogger("beam_recap"), "propagate", True)
    caplog.set_level(logging.INFO, "beam_recap.progress")
    return caplog.messages


def test_a_line_every_period(clock: Clock, caplog: pytest.LogCaptureFixture, lines: list[str]) -> None:
    counted = Progress()
    for number in range(1, 25):
        counted.row(kept=number % 3 != 0)
        clock.now += 1.0
    assert caplog.messages == [
        "6 rows done (4 kept, 2 rejected), 1.2 rows/s",
        "11 rows done (8 kept, 3 rejected), 1.1 rows/s",
        "16 rows done (11 kept, 5 rejected), 1.1 rows/s",
        "21 rows done (14 kept, 7 rejected), 1.1 rows/s",
    ]


def test_fast_rows_do_not_make_more_lines(clock: Clock, caplog: pytest.LogCaptureFixture, lines: list[str]) -> None:
    counted = Progress()
    for _ in range(12_000):
        counted.row(kept=True)
        clock.now += PERIOD_S / 10_000 * 1.001
    assert len(caplog.messages) == 1
    assert re.fullmatch(r"[\d,]+ rows done \([\d,]+ kept, 0 rejected\), [\d,.]+ rows/s", caplog.messages[0])


def test_waiting_for_the_first_row_is_no_work(clock: Clock, caplog: pytest.LogCaptureFixture, lines: list[str]) -> None:
    """Loading models takes a minute: it must neither make a line of nonsense at the first row nor lower the rate."""
    counted = Progress()
    clock.now += 60
    counted.row(kept=True)
    assert caplog.messages == []
    for _ in range(10):
        clock.now += 0.5
        counted.row(kept=False)
    assert caplog.messages == ["11 rows done (1 kept, 10 rejected), 2.2 rows/s"]


def test_threads_lose_no_row(clock: Clock, caplog: pytest.LogCaptureFixture, lines: list[str]) -> None:
    counted = Progress()
    threads = [threading.Thread(target=lambda: [counted.row(kept=True) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += PERIOD_S
    counted.row(kept=False)
    assert caplog.messages[-1].startswith("4,001 rows done (4,000 kept, 1 rejected)")
