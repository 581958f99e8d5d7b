"""Whether a captioner repeated its question, or wrote words of its chat template."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

from beam_recap.caption_hint import HINT_PLACE
from beam_recap.caption_quotes import normalised, outside_quotes
from beam_recap.caption_repetition import MAX_CAPTION_CHARS
from beam_recap.ocr.text_rate import words

# What chat templates write round a question and its answer. The lower-case words are what is left of LLaMA-3's header
# tokens once special tokens are dropped.
_TEMPLATE = re.compile(
    r"<\|[A-Za-z][\w ]{0,40}\|>|\[/?INST\]|<</?SYS>>|</?s>"
    r"|<(?:image|unk|pad|bos|eos|im_start|im_end|start_of_turn|end_of_turn|start_of_image|IMG_CONTEXT)>"
    r"|#{2,3} ?(?:Human|Assistant|User|Instruction|Response)\b|\b(?:USER|ASSISTANT|HUMAN):"
    r"|\n(?:User|Assistant|Human):|[.!?\n\"”](?:user|assistant)[ \t]{0,2}\n"
)
_TEMPLATE_START = re.compile(r"\s{0,8}(?:(?i:user|assistant|human):|(?:user|assistant)[ \t]{0,2}\n)")
_TEMPLATE_SIGNS = ("<", "[", "#", ":", "\n")  # one is in each
_MAX_PROMPT_WORDS = 500
_ONE_WORD = re.compile(r"\w\s*[:\uff1a]")
_MIN_ECHO_WORDS = 6  # a shorter part of the prompt ("in this image") is said without thinking of it


def is_prompt_echo(text: str, prompt: str, hint: str | None = None) -> bool:
    """Whether the answer repeats the question, or words of a chat template leak into it.

    The question is repeated where at least half of its words, and at least six, stand in the answer in a row (upper and
    lower case and punctuation aside), or where the answer begins with a shorter question as a sentence of its own. A
    template's words count outside quotation marks: a picture of a log-in form may well read "USER:".

    Args:
      text: the caption.
      prompt: the question, without the chat template.
      hint: the sentence that followed it with an original caption in place of ``{caption}``: repeating what is before
        or after the caption counts like repeating a question, repeating the caption does not. A single word
        counts only where a colon follows it in the hint ("Hint:", not "A").
    """
    own_words = outside_quotes(text)
    if any(sign in own_words for sign in _TEMPLATE_SIGNS) and (
        _TEMPLATE_START.match(own_words) or _TEMPLATE.search(own_words)
    ):
        return True
    said = normalised(text[:MAX_CAPTION_CHARS])
    return any(_repeats(said, question) for question in (prompt, *_parts_of(hint)))


def _repeats(said: str, question: str) -> bool:
    echo = _echo_of(question)
    if echo.sentence is not None:
        return echo.sentence.match(said) is not None
    if not any(word in said for word in echo.signs):
        return False
    said = f" {' '.join(words(said))} "
    return any(row in said for row in echo.rows)


@functools.lru_cache(maxsize=64)
def _parts_of(hint: str | None) -> tuple[str, ...]:
    """What of the hint's sentence is a question's worth of words."""
    parts = (hint or "").split(HINT_PLACE)
    return tuple(part for part in parts if len(words(part)) > 1 or _ONE_WORD.search(part))


@dataclass(frozen=True, slots=True)
class _Echo:
    """What an answer that repeats the prompt has."""

    sentence: re.Pattern[str] | None = None  # of a short prompt, at the beginning
    rows: tuple[str, ...] = ()  # of its words, one of them anywhere
    signs: tuple[str, ...] = ()  # of each row its longest word, to see at once that the row cannot be there


@functools.lru_cache(maxsize=64)
def _echo_of(prompt: str) -> _Echo:
    prompt_words = words(prompt[:MAX_CAPTION_CHARS])[:_MAX_PROMPT_WORDS]
    if not prompt_words:
        return _Echo()
    if len(prompt_words) < _MIN_ECHO_WORDS:
        # No spaces in Chinese and Japanese.
        sentence = r"\W{0,8}".join(re.escape(word) for word in prompt_words)
        return _Echo(sentence=re.compile(rf"\W{{0,8}}{sentence}[ \t]{{0,4}}(?:[^\w\s]|\n|\Z)"))
    size = max(_MIN_ECHO_WORDS, math.ceil(len(prompt_words) / 2))
    rows = [prompt_words[start : start + size] for start in range(len(prompt_words) - size + 1)]
    return _Echo(
        rows=tuple(dict.fromkeys(f" {' '.join(row)} " for row in rows)),
        signs=tuple(dict.fromkeys(max(row, key=len) for row in rows)),
    )
