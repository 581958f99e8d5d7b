"""What of a caption is counted: its words, and itself."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain

MAX_CAPTION_CHARS = 10_000  # of a longer one what is beyond is not looked at
SHOWN_CHARS = 300
_MIN_WORD_CHARS, _MAX_WORD_CHARS = 2, 50
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# The same for ASCII without apostrophes, in a third of the time: letters and digits, and blanks for everything else.
_ASCII_WORDS = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256))

# English words that say little of what a caption is about. Source: the stop words of the Snowball project
# (https://snowballstem.org/algorithms/english/stop.txt), those of at least two characters.
_STOP_WORDS = """
me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its
itself they them their theirs themselves what which who whom this that these those am is are was were be been being
have has had having do does did doing would should could ought
i'm you're he's she's it's we're they're i've you've we've they've i'd you'd he'd she'd we'd they'd i'll you'll
he'll she'll we'll they'll isn't aren't wasn't weren't hasn't haven't hadn't doesn't don't didn't won't wouldn't
shan't shouldn't can't cannot couldn't mustn't let's that's who's what's here's there's when's where's why's how's
an the and but if or because as until while of at by for with about against between into through during before after
above below to from up down in out on off over under again further then once here there when where why how all any
both each few more most other some such no nor not only own same so than too very
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def count_words(captions: Iterable[str]) -> Counter[str]:
    """How many captions hold each word: a run of letters and digits, lower-cased, with apostrophes inside.

    `STOP_WORDS`, single characters and what is longer than any word are left out.
    """
    # They are left out once for all captions, which is quicker.
    counts = Counter(chain.from_iterable(map(_different_words, captions)))
    return Counter(
        {
            word: count
            for word, count in counts.items()
            if _MIN_WORD_CHARS <= len(word) <= _MAX_WORD_CHARS and word not in STOP_WORDS
        }
    )


def _different_words(caption: str) -> set[str]:
    text = caption[:MAX_CAPTION_CHARS]
    if text.isascii() and "'" not in text:
        return set(text.encode().translate(_ASCII_WORDS).decode().split())
    return set(_WORD.findall(text.lower().replace("’", "'")))


def caption_key(caption: str) -> str:
    """What equal captions share: the caption itself, or of a longer one its beginning and a digest."""
    if len(caption) <= SHOWN_CHARS:
        return caption
    text = caption[:MAX_CAPTION_CHARS].encode("utf-8", "surrogatepass")
    return caption[:SHOWN_CHARS] + hashlib.blake2b(text, digest_size=8).hexdigest()


def shown_caption(key: str) -> str:
    """The beginning of the captions of a `caption_key`."""
    return key[:SHOWN_CHARS]
