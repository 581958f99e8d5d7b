"""Which words are shown to CLIP."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from beam_recap.audit.words import CaptionSample, WordsError, frequent_grams, read_words

ROWS = [(f"id {number}", f"caption {number}") for number in range(500)]


def sample_of(rows: list[tuple[str, str]], seed: int = 0, size: int = 40) -> CaptionSample:
    sample = CaptionSample(seed, size)
    for row_id, caption in rows:
        sample.add(row_id, caption)
    return sample


def test_a_sample_is_bounded_and_the_same_in_any_order_and_split() -> None:
    expected = sample_of(ROWS).captions()
    assert len(expected) == 40
    shuffled = random.Random(5).sample(ROWS, len(ROWS))
    assert sample_of(shuffled).captions() == expected
    merged = CaptionSample(0, 40)
    for part in range(7):
        merged.merge(sample_of(shuffled[part::7]))
    assert merged.captions() == expected
    assert sample_of(ROWS, seed=1).captions() != expected


def test_a_sample_holds_at_most_twice_its_size_meanwhile() -> None:
    sample = CaptionSample(0, 10)
    most = 0
    for row_id, caption in ROWS * 3:
        sample.add(row_id, caption)
        most = max(most, len(sample._rows))
    assert most < 20


def test_a_repeated_row_counts_once_and_long_captions_are_cut() -> None:
    sample = sample_of([("same", "buy now")] * 1000 + [("long", "x" * 10_000)])
    assert sorted(map(len, sample.captions())) == [7, 300]


def test_frequent_grams_worked_out_by_hand() -> None:
    captions = ["Red Apple, red apple", "a red apple pie", "RED car", "pie"]
    assert frequent_grams(captions, 100)[:4] == ["red", "apple", "pie", "red apple"]  # in 3, 2, 2, 2 captions
    assert "a red apple" in frequent_grams(captions, 100)
    assert "a red apple pie" not in frequent_grams(captions, 100)  # four words
    assert frequent_grams(captions, 2) == ["red", "apple"]
    assert frequent_grams([], 5) == []


def test_words_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffred apple\r\n\n  two   spaces \nred apple\ncafé\n".encode())
    assert read_words(str(path), 10) == ["red apple", "two spaces", "café"]
    assert read_words(str(path), 1) == ["red apple"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"", "holds no word"),
        (b" \n\n", "holds no word"),
        (b"caf\xe9\n", "is no UTF-8"),
        (b"x" * 500, "line of 500 characters"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WordsError, match=problem):
        read_words(str(path), 10)
