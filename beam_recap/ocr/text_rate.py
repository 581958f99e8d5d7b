"""Co-embedded text rate: the share of a caption's words that are also written in the picture.

Source: Parrot Captions Teach CLIP to Spot Text (arXiv 2312.14232), algorithm 1. Its prose calls the rate an
intersection over union, but the algorithm divides by the words of the caption alone. A caption with a rate over 0
"parrots".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

# The paper reports a fuzzy rate without its threshold; at 0.8 a word of five to nine letters may have one wrong.
FUZZY_THRESHOLD = 0.8
MAX_FUZZY_WORDS = 500  # of the caption and of the text each; further words still match exactly. Keeps the cost bounded
MAX_FUZZY_WORD_CHARS = 64

# Chinese, Japanese kana and Thai put no spaces between words: each character is one. All else: runs of letters, digits.
_ONE_CHARACTER_WORDS = "\u0e00-\u0e7f\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W_{_ONE_CHARACTER_WORDS}]+|(?!_)(?=\w)[{_ONE_CHARACTER_WORDS}]")


@dataclass(frozen=True, slots=True)
class TextRates:
    """Three readings of one rate, each in [0, 1]; None where the caption has no words.

    Attributes:
      strict: the paper's algorithm to the letter: words are what spaces separate, upper and lower case differ.
      normalised: without upper case, punctuation and compatibility forms.
      fuzzy: as normalised, but a word may differ from the written one in every fifth character.
    """

    strict: float | None
    normalised: float | None
    fuzzy: float | None


def text_rates(caption: str | None, ocr_text: str | None, *, fuzzy_threshold: float = FUZZY_THRESHOLD) -> TextRates:
    """All three rates of an original caption and the text of its picture; all None if either is None.

    Args:
      caption: the picture's original caption.
      ocr_text: what is written in the picture; "" if nothing is.
      fuzzy_threshold: lowest similarity, 1 - Levenshtein distance / longer length, of equal words; (0, 1].

    Raises:
      ValueError: `fuzzy_threshold` is out of range.
    """
    if not 0 < fuzzy_threshold <= 1:
        raise ValueError(f"fuzzy_threshold must be greater than 0 and at most 1, got {fuzzy_threshold!r}")
    if caption is None or ocr_text is None:
        return TextRates(None, None, None)
    strict = _share(set(caption.split()), set(ocr_text.split()))
    # Dictionaries keep the order, so that the fuzzy rate's limit cuts the same words in every process.
    caption_words, written_words = dict.fromkeys(words(caption)), dict.fromkeys(words(ocr_text))
    if not caption_words:
        return TextRates(strict, None, None)
    common = caption_words.keys() & written_words.keys()
    left = [word for word in caption_words if word not in common]
    similar = _similar_words(left[:MAX_FUZZY_WORDS], list(written_words)[:MAX_FUZZY_WORDS], fuzzy_threshold)
    return TextRates(
        strict=strict,
        normalised=len(common) / len(caption_words),
        fuzzy=(len(common) + similar) / len(caption_words),
    )


def words(text: str) -> list[str]:
    """The normalised words of a text: NFKC, case-folded, letters and digits only."""
    return _WORD.findall(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()))


def _share(caption_words: set[str], written_words: set[str]) -> float | None:
    return len(caption_words & written_words) / len(caption_words) if caption_words else None


def _similar_words(caption_words: Iterable[str], written_words: Iterable[str], threshold: float) -> int:
    """How many words of the caption have a similar one in the picture."""
    by_length: dict[int, list[str]] = {}
    for written in written_words:
        by_length.setdefault(len(written), []).append(written)
    return sum(_has_similar(word, by_length, threshold) for word in caption_words)


def _has_similar(word: str, by_length: dict[int, list[str]], threshold: float) -> bool:
    for length, written_words in by_length.items():
        longer = max(len(word), length)
        allowed = int((1 - threshold) * longer + 1e-9)  # 0.2 * 5 is 0.9999999999999998
        if longer > MAX_FUZZY_WORD_CHARS or abs(len(word) - length) > allowed or allowed == 0:
            continue  # the words differ in at least one character, as equal ones were counted before
        if any(levenshtein(word, written) <= allowed for written in written_words):
            return True
    return False


def levenshtein(first: str, second: str) -> int:
    """Least number of characters to insert, delete or replace to turn one string into the other.

    Myers' bit-parallel algorithm (J. ACM 46, 1999) in Hyyrö's form: a column of the table is a pair of integers.
    """
    if not first or not second:
        return len(first) or len(second)
    positions: dict[str, int] = {}
    for index, character in enumerate(first):
        positions[character] = positions.get(character, 0) | 1 << index
    mask, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    up, down, distance = mask, 0, len(first)
    for character in second:
        match = positions.get(character, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right_up, right_down = down | ~(diagonal | up) & mask, up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up, right_down = right_up << 1 | 1, right_down << 1
        up, down = (right_down | ~(diagonal | right_up)) & mask, right_up & diagonal & mask
    return distance
