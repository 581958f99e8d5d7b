"""The synthetic-text score with the demonstration's CLIP, against the scorer asked by hand."""

from __future__ import annotations

import statistics

import pytest
from support.collected import run_and_collect

from beam_recap.audit.draw_words import STYLES, DrawnWord, WordDrawer
from beam_recap.audit.synthetic import WordScores
from beam_recap.demo import paths
from transforms.score_clip import ClipModel
from transforms.score_words import ScoreWords

WORDS = ["red circle", "SALE", "a very long run of words", "停止", "n" * 150, "star"]


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return ClipModel(str(paths.CLIP), device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def found(clip: ClipModel) -> WordScores:
    (scores,) = run_and_collect(WORDS, ScoreWords(clip))
    return scores


def test_scores_are_those_of_the_scorer(clip: ClipModel, found: WordScores) -> None:
    scorer, drawer = clip.load(), WordDrawer()
    by_style: dict[str, list[float]] = {name: [] for name, _, _ in STYLES}
    for word in WORDS:
        drawn = drawer.draw(word)
        if isinstance(drawn, DrawnWord):
            for (name, _, _), picture in zip(STYLES, drawn.pictures, strict=True):
                (score,) = scorer.score([picture], [word])
                by_style[name].append(score.score)
    figures = found.figures()
    for name, values in by_style.items():
        assert len(values) == 4
        assert figures["by_style"][name]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-9)
        assert figures["by_style"][name]["std"] == pytest.approx(statistics.pstdev(values), abs=1e-6)
    assert figures["all"]["pictures"] == 16
    assert -1 <= figures["all"]["mean"] <= 1


def test_words_that_cannot_be_drawn_are_counted(found: WordScores) -> None:
    assert found.figures()["words"] == {
        "offered": 6,
        "drawn": 4,
        "drawn_smaller_to_fit": 1,
        "not_drawn_by_reason": {"not in the font": 1, "too long": 1},
    }


def test_no_words(clip: ClipModel) -> None:
    (scores,) = run_and_collect([], ScoreWords(clip))
    assert scores.figures()["all"]["mean"] is None
