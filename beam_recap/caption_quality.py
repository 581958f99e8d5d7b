"""What a caption is worth, as far as its text alone tells: loops, refusals, echoes of the prompt, invented quotes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beam_recap.caption_prompt_echo import is_prompt_echo
from beam_recap.caption_quotes import unseen_quotes
from beam_recap.caption_refusal import is_refusal
from beam_recap.caption_repetition import REPETITION_THRESHOLD, is_repetitive, repetition
from beam_recap.names import CAPTION_FLAWS

__all__ = [
    "FLAGS",
    "CaptionQuality",
    "flags_of",
    "is_prompt_echo",
    "is_refusal",
    "is_repetitive",
    "judge_caption",
    "preference",
    "repetition",
    "unseen_quotes",
]

FLAGS = CAPTION_FLAWS  # what --reject_captions can name


@dataclass(frozen=True, slots=True)
class CaptionQuality:
    """What the text of one caption says about it."""

    repetition: float  # [0, 1], see `repetition`
    repetitive: bool
    refusal: bool
    prompt_echo: bool
    unseen_quotes: list[str] | None  # None where OCR did not run


def judge_caption(text: str, *, prompt: str, hint: str | None = None, ocr_text: str | None) -> CaptionQuality:
    """Everything that the text alone tells; of a very long one its first 10,000 characters.

    Args:
      text: the caption.
      prompt: the question that was asked.
      hint: the sentence that was added to it, with ``{caption}`` for the original caption, which may be repeated; None
        where the row had no hint.
      ocr_text: see `unseen_quotes`.
    """
    share = repetition(text)
    return CaptionQuality(
        repetition=share,
        repetitive=share >= REPETITION_THRESHOLD,
        refusal=is_refusal(text),
        prompt_echo=is_prompt_echo(text, prompt, hint),
        unseen_quotes=unseen_quotes(text, ocr_text),
    )


def flags_of(quality: CaptionQuality, truncated: bool | None) -> list[str]:
    """The names in `FLAGS` that apply, in that order.

    Args:
      quality: of the caption.
      truncated: whether it was cut at the limit of new tokens; None if unknown.
    """
    raised = (quality.repetitive, quality.refusal, quality.prompt_echo, truncated, quality.unseen_quotes)
    return [name for name, is_raised in zip(FLAGS, raised, strict=True) if is_raised]


def preference(original: float | None, recaption: float | None, logit_scale: float) -> tuple[float, float] | None:
    """Which of an image's two captions CLIP prefers, in percent: of the original, of the recaption.

    Softmax over the two of logit_scale * cosine, times 100. Source: Recap-DataComp-1B (arXiv 2406.08478, section 4.2)
    gives a "CLIP score" of 49.57 for recaptions and 50.43 for originals, and 89.91 and 10.09 with LongCLIP. Both pairs
    sum to 100, as cosines cannot, but as such a softmax must. The paper does not print its formula.

    Args:
      original: cosine of image and original caption, [-1, 1].
      recaption: cosine of image and recaption, [-1, 1].
      logit_scale: CLIP's own factor, the exponential of its parameter; 100 for OpenAI's models.

    Returns:
      Two numbers in [0, 100] that sum to 100; None where a cosine is missing.

    Raises:
      ValueError: a cosine is not finite, or `logit_scale` is not finite and positive.
    """
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise ValueError(f"logit_scale must be finite and positive, got {logit_scale!r}")
    if original is None or recaption is None:
        return None
    if not (math.isfinite(original) and math.isfinite(recaption)):
        raise ValueError(f"cosines must be finite, got {original!r} and {recaption!r}")
    # The exponent is never positive, so that nothing overflows and the smaller share keeps all its digits.
    odds = math.exp(-logit_scale * abs(original - recaption))
    larger, smaller = 100 / (1 + odds), 100 * odds / (1 + odds)
    return (larger, smaller) if original >= recaption else (smaller, larger)
