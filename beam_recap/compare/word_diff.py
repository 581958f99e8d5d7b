"""Two texts side by side, with the words that only one of them has marked."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

_MOST_WORDS = 600  # of a text that are compared: the work grows with their square
_WORDS = re.compile(r"\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive words of a text; ``marked``: the other text has others in their place."""

    text: str
    marked: bool


def word_diff(a: str, b: str) -> tuple[list[Run], list[Run]]:
    """The texts in runs of words, which joined are the texts again, or the start of texts of more than 600 words."""
    words_a, words_b = _WORDS.findall(a)[:_MOST_WORDS], _WORDS.findall(b)[:_MOST_WORDS]
    # A word is the same with other spaces before it.
    matcher = difflib.SequenceMatcher(None, _bare(words_a), _bare(words_b), autojunk=False)
    sides: tuple[list[Run], list[Run]] = ([], [])
    for what, start_a, end_a, start_b, end_b in matcher.get_opcodes():
        for side, words in zip(sides, (words_a[start_a:end_a], words_b[start_b:end_b]), strict=True):
            text = "".join(words)
            is_marked = what != "equal"
            if is_marked and (space := text[: len(text) - len(text.lstrip())]):
                side.append(Run(space, False))  # a line through it would look like a dash
                text = text.lstrip()
            if text:
                side.append(Run(text, is_marked))
    return sides


def _bare(words: list[str]) -> list[str]:
    return [word.strip() for word in words]
