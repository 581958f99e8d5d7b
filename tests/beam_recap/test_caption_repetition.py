"""Which captions count as looping, and the share worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captions import ANY_TEXT, GOOD, LOOPS

from beam_recap.caption_repetition import REPETITION_THRESHOLD, is_repetitive, repetition


@pytest.mark.parametrize("caption", GOOD)
def test_real_captions_pass(caption: str) -> None:
    assert repetition(caption) < REPETITION_THRESHOLD == 0.5
    assert not is_repetitive(caption)


@pytest.mark.parametrize("caption", LOOPS)
def test_loops_are_flagged(caption: str) -> None:
    assert is_repetitive(caption)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("one two three", 0.0),  # no 4-gram
        ("one two three four five", 0.0),
        ("buy now buy now buy now", 1 / 3),  # 3 4-grams, 2 different
        ("Buy now BUY NOW buy Now", 1 / 3),
        ("猫が好きだ", 0.0),
        ("猫猫猫猫猫猫猫猫猫猫", 2 / 3),  # 3 8-grams, 1 different
    ],
)
def test_the_share_worked_out_by_hand(text: str, expected: float) -> None:
    assert repetition(text) == pytest.approx(expected)


def test_a_good_beginning_does_not_hide_a_loop() -> None:
    good = " ".join(f"word{i}" for i in range(200))
    assert repetition(good) == 0
    # 40 words in a loop of 4 hold 32 4-grams in a row that were said before.
    assert repetition(good + " and a red chair" * 10) == 1


def test_what_was_said_before_the_window_counts() -> None:
    passage = " ".join(f"word{i}" for i in range(100))
    assert repetition(f"{passage} {passage}") == 1


@given(ANY_TEXT)
def test_any_text_has_a_share(text: str) -> None:
    assert 0 <= repetition(text) <= 1


@given(st.text(min_size=1, max_size=30).filter(str.strip))
def test_a_text_that_is_said_many_times_is_repetitive(text: str) -> None:
    assert is_repetitive(f"{text} " * 40)
