"""Marked words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beam_recap.compare.word_diff import Run, word_diff


def test_words_that_changed_are_marked() -> None:
    a, b = word_diff("A red cat on a sofa.", "A black cat on a  sofa. It sleeps.")
    assert a == [Run("A", False), Run(" ", False), Run("red", True), Run(" cat on a sofa.", False)]
    assert b == [
        Run("A", False),
        Run(" ", False),
        Run("black", True),
        Run(" cat on a  sofa.", False),
        Run(" ", False),
        Run("It sleeps.", True),
    ]


def test_long_texts_end_soon() -> None:
    a, b = word_diff("a b " * 100_000, "b a " * 100_000)
    assert sum(len(run.text.split()) for run in a) == sum(len(run.text.split()) for run in b) == 600


@given(st.text(max_size=60), st.text(max_size=60))
def test_runs_are_the_texts(a: str, b: str) -> None:
    sides = word_diff(a, b)
    assert ["".join(run.text for run in side) for side in sides] == [a, b]
    same = ["".join(run.text for run in side if not run.marked).split() for side in sides]
    assert same[0] == same[1]
    if a.split() == b.split():
        assert not any(run.marked and run.text.strip() for side in sides for run in side)
