"""How much a caption repeats itself, as greedy decoding does when it runs into a loop."""

from __future__ import annotations

import re

# 128 new tokens are about 600 characters; a longer text is judged by its beginning, so that the cost is bounded.
MAX_CAPTION_CHARS = 10_000

NGRAM = 4  # of seq-rep-4: Welleck et al. 2019 (arXiv 1908.04319)
# A Chinese or Japanese word is about two signs, and a phrase of four signs is often said twice.
UNSPACED_NGRAM = 8
_UNSPACED_CHARS_PER_TOKEN = 2.0  # English captions have about 5, with the spaces; Chinese and Japanese ones 1

WINDOW = 32  # n-grams: a quarter of the 128 tokens at which captions are cut
# The paper gives none. Captions in parallel sentences ("On the left side of the image, there is ... On the right side
# of the image, there is ...") reach 0.44; loops reach 1 once they fill a window, the shortest in the tests 0.56.
REPETITION_THRESHOLD = 0.5

MAX_WORD_CHARS = 40  # of a longer one every character counts as a token: "hahahaha..."

# Signs of scripts that put no spaces between words (as the text rate has them): each is one token.
UNSPACED_SCRIPTS = "\u0e00-\u0e7f\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTER = rf"[^\W_{UNSPACED_SCRIPTS}]"
# Punctuation counts as well: "!!!!!" is what a captioner with broken numbers writes.
_TOKEN = re.compile(rf"{_LETTER}{{1,{MAX_WORD_CHARS}}}+(?!{_LETTER})|\S")


def repetition(text: str) -> float:
    """The share of 4-grams that the caption has said before, where it is worst: [0, 1].

    It is seq-rep-4 of Welleck et al. 2019 (arXiv 1908.04319), 1 - distinct 4-grams / 4-grams, with two additions:

    * It is taken over every 32 consecutive 4-grams (over all, where there are fewer) and the largest counts: a loop
      that sets in late would be hidden by the good part before it. What was said before the 32 counts as said before.
    * Text without spaces (Chinese, Japanese, Thai, rows of signs) is measured in 8-grams of single signs.

    Tokens are words, upper and lower case the same, and single punctuation marks. A text shorter than one n-gram has 0.
    """
    text = text[:MAX_CAPTION_CHARS].casefold()
    tokens = _TOKEN.findall(text)
    size = NGRAM if len(text) >= _UNSPACED_CHARS_PER_TOKEN * len(tokens) else UNSPACED_NGRAM
    ngrams = list(zip(*(tokens[start:] for start in range(size)), strict=False))
    if not ngrams:
        return 0.0
    seen: set[tuple[str, ...]] = set()
    distinct = [0]  # up to each place
    for ngram in ngrams:
        seen.add(ngram)
        distinct.append(len(seen))
    window = min(WINDOW, len(ngrams))
    fewest = min(last - first for first, last in zip(distinct, distinct[window:], strict=False))
    return 1 - fewest / window


def is_repetitive(text: str) -> bool:
    """Whether a loop has spoilt the caption: a `repetition` of at least `REPETITION_THRESHOLD`.

    Not flagged are a short sentence said twice, a loop that the limit of new tokens cut off after some 15 words, and
    lists and parallel sentences in which something changes.
    """
    return repetition(text) >= REPETITION_THRESHOLD
