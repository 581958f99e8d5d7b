from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.tally.captions import STOP_WORDS, caption_key, count_words, shown_caption


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A red House, and the RED car.", {"red", "house", "car"}),
        ("it's the dog's 2 'quoted' T-shirts_42", {"dog's", "quoted", "shirts", "42"}),
        ("Don’t: l’été", {"l'été"}),
        ("'' ' _ - …", set()),
        ("日本語 東京 猫", {"日本語", "東京"}),
        ("x" * 50 + " " + "y" * 51, {"x" * 50}),
        ("snow " * 3000 + "late", {"snow"}),
        ("", set()),
    ],
)
def test_the_words_of_a_caption(caption: str, words: set[str]) -> None:
    assert count_words([caption]) == dict.fromkeys(words, 1)


def test_a_caption_counts_once_for_each_of_its_words() -> None:
    assert count_words(["red red dog", "Red cat", "the"]) == {"red": 2, "dog": 1, "cat": 1}


@given(st.lists(st.text(st.characters(max_codepoint=127) | st.sampled_from("aB'’_é 1"))))
def test_the_quick_way_gives_the_same_words(captions: list[str]) -> None:
    expected: Counter[str] = Counter()
    for caption in captions:
        runs = re.findall(r"[^\W_]+(?:'[^\W_]+)*", caption.lower().replace("’", "'"))
        expected.update({run for run in runs if 2 <= len(run) <= 50} - STOP_WORDS)
    assert count_words(captions) == expected


def test_stop_words_are_words() -> None:
    assert all(count_words([f"{word}s' x{word}"]) for word in STOP_WORDS)
    assert {"the", "with", "isn't"} <= STOP_WORDS and not {"", "new", "image"} & STOP_WORDS


def test_captions_are_told_apart_by_all_of_their_text() -> None:
    long = "x" * 300
    texts = ["", " ", "a", "A", long, long + "a", long + "b", long + "a" * 9000]
    keys = [caption_key(text) for text in texts]
    assert len(set(keys)) == len(texts)
    assert [shown_caption(key) for key in keys] == [text[:300] for text in texts]
    assert caption_key("\ud800" * 400) == caption_key("\ud800" * 400)
    assert max(map(len, map(caption_key, ["y" * 10**6, *texts]))) <= 320
