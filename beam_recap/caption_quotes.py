"""What a caption puts in quotation marks, and whether OCR saw it in the picture."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata

from beam_recap.caption_repetition import MAX_CAPTION_CHARS, UNSPACED_SCRIPTS

MAX_QUOTE_CHARS = 500  # of one quote; a longer one is none
MAX_QUOTES = 50  # per caption
MAX_OCR_CHARS = 20_000
MAX_FUZZY_WORDS = 500  # different words of the OCR text that a misread word may equal
MIN_FUZZY_LETTERS = 5  # a shorter word must be equal
MIN_JOINED_LETTERS = 5  # of a quote that is looked for without regard to spaces

_LETTER = rf"[^\W_{UNSPACED_SCRIPTS}]"


def _between(opening: str, closing: str, excluded: str) -> str:
    return rf"{opening}([^{excluded}\n]{{1,{MAX_QUOTE_CHARS}}}+){closing}"


def _between_single(opening: str, apostrophe: str, closing: str, excluded: str) -> str:
    """An apostrophe inside a word is part of the quote: 'Don't stop'."""
    part = rf"[^{excluded}\n]{{1,{MAX_QUOTE_CHARS}}}+"
    return rf"{opening}({part}(?:(?<={_LETTER}){apostrophe}(?={_LETTER}){part}){{0,20}}+){closing}"


# Each alternative begins with its mark, so that the search skips to the next mark. No part is tried twice (possessive
# repeats) and each is bounded. A straight mark opens where no letter or digit precedes it (5" is a size, dogs' a
# genitive) and something follows, and closes where something precedes it.
_QUOTE = re.compile(
    "|".join(
        (
            rf"[\"＂](?<![A-Za-z0-9].)(?=\S)([^\"＂\n]{{1,{MAX_QUOTE_CHARS}}}+)(?<=\S)[\"＂]",
            _between_single(
                rf"'(?<!{_LETTER}')(?<!'')(?=[^\s'])(?!(?:\d0s|n|em|til|tis|twas|cause)\b)",
                "'",
                rf"(?<=\S)'(?!{_LETTER})",
                "'",
            ),
            _between_single("‘", "’", "’", "‘’"),
            _between("“", "”", "“”"),
            _between("„", "[“”]", "„“”"),
            _between("‚", "[‘’]", "‚‘’"),
            _between("«", "»", "«»"),
            _between(r"»(?=\S)", r"(?<=\S)«", "«»"),
            _between("‹", "›", "‹›"),
            _between("「", "」", "「」"),
            _between("『", "』", "『』"),
        )
    )
)
_UNCLOSED = re.compile(r"(?:^|(?<=[\s(:]))[\"＂“„«「『](?=\S)")  # a quote that the limit of new tokens cut off
_OPENING = "\"＂'‘“„‚«»‹「『"
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]")


def normalised(text: str) -> str:
    """The form in which words are compared: case-folded NFKC, as in `beam_recap.ocr.text_rate.words`."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def quotes(text: str) -> list[str]:
    """The different texts in quotation marks, as written and in order, without the comma or full stop at their ends.

    Straight, curly and low quotation marks, guillemets and Japanese corner brackets. Of nested ones the outer counts;
    a mark without its partner, and a pair with a line break or more than 500 characters between, counts as none.
    """
    return list(_scan(text)[0])


def outside_quotes(text: str) -> str:
    """The text outside quotation marks, also outside a last one that is not closed; all of it if no word is outside."""
    return _scan(text)[1]


@functools.lru_cache(maxsize=1)  # a caption is asked for both, and more than once
def _scan(text: str) -> tuple[tuple[str, ...], str]:
    text = text[:MAX_CAPTION_CHARS]
    if not any(mark in text for mark in _OPENING):  # most captions
        return (), text
    found: dict[str, None] = {}
    outside: list[str] = []
    end = 0
    for match in _QUOTE.finditer(text):
        outside.append(text[end : match.start()])
        end = match.end()
        quote = match[match.lastindex or 0].strip().rstrip(".,;")
        if quote and len(found) < MAX_QUOTES:
            found[quote] = None
    rest = " ".join([*outside, _UNCLOSED.split(text[end:], maxsplit=1)[0]])
    return tuple(found), rest if _WORD.search(rest) else text


def unseen_quotes(text: str, ocr_text: str | None) -> list[str] | None:
    """The quotes of a caption that are not written in the picture, as far as OCR could read it.

    A quote was seen if each of its words was, in any order; words are compared as `beam_recap.ocr.text_rate` does
    (NFKC, case-folded, letters and digits only). A word of at least five letters may differ from the one that OCR read
    in one character (one wrong, missing or too many). Because OCR also loses and invents spaces, a quote of at least
    five letters, and Chinese or Japanese of any length, was seen as well if its letters stand in a row there.

    Args:
      text: the caption.
      ocr_text: all text that OCR read, "" if there was none; None if OCR did not run, or not over the whole picture.

    Returns:
      The unseen quotes in order, [] if there are none; None without `ocr_text`.
    """
    if ocr_text is None:
        return None
    found = quotes(text)
    if not found:
        return []
    written = _Written(ocr_text[:MAX_OCR_CHARS])
    return [quote for quote in found if not written.has(quote)]


class _Written:
    """What OCR read, ready to be searched."""

    def __init__(self, ocr_text: str):
        words = _words(ocr_text)
        self._joined = "".join(words)
        self._words = dict.fromkeys(words)  # in order, so that the limit cuts the same words in every process

    def has(self, quote: str) -> bool:
        """Whether every word of the quote is there. A quote without words asks for none."""
        words = _words(quote)
        joined = "".join(words)
        if len(joined) >= MIN_JOINED_LETTERS and joined in self._joined:
            return True
        return all(self._has_word(word) for word in words)

    def _has_word(self, word: str) -> bool:
        if word in self._words:
            return True
        if _UNSPACED.search(word):
            return word in self._joined
        if len(word) < MIN_FUZZY_LETTERS or not word.isalpha():  # another number is another number
            return False
        near = range(len(word) - 1, len(word) + 2)
        candidates = itertools.islice(self._words, MAX_FUZZY_WORDS)
        return any(len(candidate) in near and _within_one_edit(word, candidate) for candidate in candidates)


def _words(text: str) -> list[str]:
    return _WORD.findall(normalised(text))


def _within_one_edit(first: str, second: str) -> bool:
    """Whether at most one character has to be replaced, left out or added. Lengths differ by at most one."""
    start = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        start += 1
    rest, other_rest = first[start:], second[start:]
    if len(first) == len(second):
        return rest[1:] == other_rest[1:]
    return rest[1:] == other_rest if len(first) > len(second) else rest == other_rest[1:]
