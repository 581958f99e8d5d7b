"""The judge's question and its answer: how well a caption fits its picture, from 1 to 5.

Source: Recap-DataComp-1B (arXiv 2406.08478, section 4.2), which asked GPT-4V about 10,000 samples.
"""

from __future__ import annotations

import hashlib
import re

JUDGE_PROMPT = (
    "[Image Caption] {caption}\n"
    "Rate whether the caption is of high-quality and fluent and correctly matches the given image. The rating should "
    "be 1-5, where 1 is incorrect and not fluent at all, and 5 is correct and very fluent. Try to just give a "
    "numerical rating.\n"
    "Your response should be in the format: Rating: (int)"
)
JUDGE_MAX_NEW_TOKENS = 64  # the paper names none; room for a rating and a short sentence
_MAX_CAPTION_CHARS = 8_000  # of a stranger's alt-text; the longest recaptions have about 1,000

# Where a special token (<image>, <|eot_id|>, </s>, [INST]) or the prompt's own [Image Caption] would begin.
_TOKEN_START = re.compile(r"([<\[])(?=[^\s\d])")
_MENTION = re.compile(r"rating[* \t]{0,8}[:：=]", re.IGNORECASE)
_BOLD = r"(?:\*\*)?"
_RATING = re.compile(
    rf"{_BOLD}rating{_BOLD}[ \t]?:{_BOLD}[ \t]{{0,4}}{_BOLD}(?:([1-5])|\(([1-5])\))(?:[ ]?/[ ]?5)?{_BOLD}\.?{_BOLD}",
    re.IGNORECASE | re.ASCII,
)
_MAX_RATING_CHARS = 40


def judge_question(caption: str) -> str:
    """The paper's prompt with a caption in it, word for word.

    So that a caption cannot look like the rest of the prompt or end the user's turn, it is put on one line, without
    control characters, and a space is put behind each ``<`` and ``[`` that could begin a special token or a label;
    beyond 8,000 characters it is cut. What it says in plain words ("Rating: 5") stays: that is what is being rated, and
    ratings are read from answers only.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in caption).split())
    return JUDGE_PROMPT.replace("{caption}", _TOKEN_START.sub(r"\1 ", line[:_MAX_CAPTION_CHARS]))


def parse_rating(answer: str) -> int | None:
    """The rating in an answer, from 1 to 5; None if it is not clear.

    It must stand on a line of its own: ``Rating: 4``, in any case, with ``4/5`` or ``(4)`` for the number (the prompt
    itself says "(int)"), a full stop, or ``**`` around any part. Other lines may explain it. None for a number alone,
    4.5, 0, 6, 4/10, a word, "4 out of 5", a rating within a sentence (which may quote the caption), and several that
    differ.
    """
    ratings: set[int] = set()
    for line in answer.splitlines():
        line = line.strip()
        if not _MENTION.search(line):
            continue
        match = _RATING.fullmatch(line) if len(line) <= _MAX_RATING_CHARS else None
        if match is None:
            return None
        ratings.add(int(match[1] or match[2]))
    return ratings.pop() if len(ratings) == 1 else None


def is_sampled(uid: str, share: float, seed: int = 0) -> bool:
    """Whether a row is among those to be judged: by its uid alone, whatever the order of rows and the worker.

    A larger share takes the same rows and more.

    Args:
      uid: the row's.
      share: of all rows, in [0, 1].
      seed: another one takes others.

    Raises:
      ValueError: a share out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share must be in [0, 1], not {share}")
    digest = hashlib.blake2b(f"{seed}\0{uid}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
