"""Mean and standard deviation of cosines, summed in any order."""

from __future__ import annotations

import random
import statistics

import pytest

from beam_recap.audit.draw_words import STYLES
from beam_recap.audit.synthetic import WordScores


def test_mean_and_deviation_worked_out_by_the_library() -> None:
    chance = random.Random(0)
    scores = {name: [chance.uniform(-0.2, 0.6) for _ in range(50)] for name, _, _ in STYLES}
    parts = [WordScores() for _ in range(3)]
    for style, values in scores.items():
        for number, value in enumerate(values):
            parts[number % 3].add_score(style, value)
    for part in parts:
        part.add_word(shrunk=part is parts[0])
    parts[1].add_word(problem="too long")
    parts[2].failures["non_finite"] += 2
    total = WordScores()
    for part in reversed(parts):
        total.merge(part)
    found = total.figures()
    assert found["words"] == {
        "offered": 4,
        "drawn": 3,
        "drawn_smaller_to_fit": 1,
        "not_drawn_by_reason": {"too long": 1},
    }
    assert found["pictures_not_scored_by_reason"] == {"non_finite": 2}
    for style, values in scores.items():
        assert found["by_style"][style]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-9)
        assert found["by_style"][style]["std"] == pytest.approx(statistics.pstdev(values), abs=1e-9)
    everything = [value for values in scores.values() for value in values]
    assert found["all"]["pictures"] == 200
    assert found["all"]["mean"] == pytest.approx(statistics.fmean(everything), abs=1e-9)
    assert found["all"]["std"] == pytest.approx(statistics.pstdev(everything), abs=1e-9)


def test_of_no_words_nothing_is_known() -> None:
    found = WordScores().figures()
    assert found["all"] == {"pictures": 0, "mean": None, "std": None}
    assert list(found["by_style"]) == ["black on white", "white on black", "white on gray", "black on gray"]
