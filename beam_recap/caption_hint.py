"""An original caption as a hint for the captioner: a stranger's text, made harmless and short."""

from __future__ import annotations

import re
import unicodedata

HINT_PLACE = "{caption}"  # where the caption goes in the sentence of --caption_hint
# Several times what original captions have (10 words on average in Recap-DataComp-1B: arXiv 2406.08478, section 4.1);
# whole paragraphs would outweigh the picture.
MAX_HINT_CHARS = 300
_MAX_READ_CHARS = 10_000  # of a caption, so that the work on a hostile one is bounded

_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")  # halves of surrogate pairs, too: no file can hold them
# What is there and is not seen: marks of writing direction, joiners of no use, tags. Those that join letters in Persian
# and people in emoji (U+200C, U+200D) stay.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# Markup, and what chat templates and special tokens look like: <image>, </s>, <|eot_id|>, DeepSeek's form with wide
# bars, and Mistral's. A server's tokens are not known here.
_MARKUP = re.compile(r"<[^<>\s]{1,64}>|\[/?(?:INST|IMG|IMG_BREAK|IMG_END|SYSTEM_PROMPT|TOOL_[A-Z]+|AVAILABLE_TOOLS)\]")

_JOINER = "\u200d"
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_FLAG_LETTERS = ("\U0001f1e6", "\U0001f1ff")


def clean_caption(caption: str | None) -> str:
    """One line of at most 300 characters, whatever the caption is; empty where nothing of it is left.

    Line breaks and control characters become spaces, invisible characters go, and so does what is written like markup
    or like a special token. A space takes its place, so that no other is formed by what stood round it.
    """
    text = _INVISIBLE.sub("", (caption or "")[:_MAX_READ_CHARS])
    text = _MARKUP.sub(" ", _BREAKS.sub(" ", text))
    return cut_at_word(" ".join(text.split()), MAX_HINT_CHARS)


def cut_at_word(text: str, limit: int) -> str:
    """At most ``limit`` characters of the text's beginning, cut at a space.

    Where that would lose more than half (there are no spaces in Chinese), it is cut between two characters as a reader
    sees them: never before an accent, nor within an emoji of several parts.
    """
    if len(text) <= limit:
        return text
    end = text.rfind(" ", 0, limit + 1)
    if end <= limit // 2:
        end = limit
        while end > 0 and _belong_together(text, end):
            end -= 1
    return text[:end].rstrip()


def fill_hint(hint: str, caption: str | None) -> str | None:
    """The hint's sentence with the caption in it, for a server; None for a row of whose caption nothing is left."""
    words = clean_caption(caption)
    before, _, after = hint.partition(HINT_PLACE)
    return f"{before}{words}{after}" if words else None


def _belong_together(text: str, end: int) -> bool:
    """Whether the characters on both sides of a place are parts of one."""
    last, after = text[end - 1], text[end]
    if unicodedata.category(after).startswith("M") or _JOINER in (last, after):
        return True
    if _SKIN_TONES[0] <= after <= _SKIN_TONES[1]:
        return True
    if not all(_FLAG_LETTERS[0] <= char <= _FLAG_LETTERS[1] for char in (last, after)):
        return False
    # Flags are pairs of letters.
    letters = re.search(f"[{_FLAG_LETTERS[0]}-{_FLAG_LETTERS[1]}]*$", text[:end])
    return letters is not None and len(letters[0]) % 2 == 1
