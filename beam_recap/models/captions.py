"""What every captioner gives for a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from beam_recap.isolation import FatalModelError, ModelFailure, describe_error, is_device_lost, is_out_of_memory
from beam_recap.models.runtime import WeightsMismatch
from beam_recap.records import Reason


@dataclass(frozen=True, slots=True)
class Trace:
    """How a caption came about.

    Attributes:
      queue_s: seconds from being asked for to being begun.
      decode_s: seconds from being begun to being finished.
      prompt_tokens: tokens that were read, those of the picture included.
      occupancy: share of the engine's slots that wrote something meanwhile, 0 to 1; None if that is not known.
    """

    queue_s: float
    decode_s: float
    prompt_tokens: int
    occupancy: float | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    """What a captioner wrote about one picture."""

    text: str  # without special tokens and surrounding whitespace, never empty
    tokens: int | None  # new tokens, without the end token; None where a server does not tell
    truncated: bool  # no end token within the limit
    trace: Trace | None = field(default=None, compare=False)
    hinted: bool | None = None  # the original caption was shown as a hint; None where the captioner shows none


class AnyCaptioner(Protocol):
    """The public methods of every captioner. Only these are called, so it may be a proxy of one in another process."""

    def caption(
        self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None
    ) -> list[Caption | ModelFailure]:
        """One caption or failure per picture (RGB, uint8 ``[H, W, 3]``), in order.

        Args:
          images: the pictures.
          hints: their original captions as they came, None for a picture without; only for a captioner that was made
            with a hint.

        Raises:
          ValueError: not as many hints as pictures, or hints for a captioner that shows none.
        """

    def take_splits(self) -> int:
        """How often memory ran out, and less was tried at once, since this was last asked."""


def check_image(image: np.ndarray) -> None:
    """Raises ValueError for anything but RGB, uint8 ``[H, W, 3]``."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")


def hints_of(
    images: Sequence[np.ndarray], hints: Sequence[str | None] | None, takes_hints: bool
) -> Sequence[str | None]:
    """One hint or None per picture.

    Raises:
      ValueError: not as many hints as pictures, or hints for a captioner that shows none.
    """
    if hints is None:
        return [None] * len(images)
    if not takes_hints:
        raise ValueError("this captioner was made without a hint; it cannot show original captions")
    if len(hints) != len(images):
        raise ValueError(f"there are {len(hints)} hints for {len(images)} pictures")
    return hints


def make_caption(
    tokenizer: Any, ids: Sequence[int], truncated: bool, trace: Trace | None = None, hinted: bool | None = None
) -> Caption | ModelFailure:
    """A caption of new token ids, without the end token."""
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
    if not text:
        return ModelFailure(Reason.EMPTY_RECAPTION, f"{len(ids)} new tokens, no text")
    return Caption(text, len(ids), truncated, trace, hinted)


def check_on_grey(model_id: str, dtype: Any, is_finite_on: Callable[[np.ndarray], bool]) -> None:
    """Sees that a captioner works before any row is spent on it.

    Args:
      model_id: its name.
      dtype: of its weights.
      is_finite_on: captions a picture and tells whether the logits were finite.

    Raises:
      WeightsMismatch: they are not.
      ValueError: it cannot caption a grey picture.
      FatalModelError: the device is gone.
    """
    grey = np.full((64, 64, 3), 128, np.uint8)
    try:
        is_finite = is_finite_on(grey)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if is_device_lost(error):
            raise FatalModelError(describe_error(error)) from error
        raise ValueError(f"{model_id} cannot caption a plain grey picture: {describe_error(error)}") from error
    if not is_finite:
        raise WeightsMismatch(
            f"{model_id} gives non-finite numbers in {dtype}: its weights are broken, or too large for the dtype (then "
            "use --dtype=bfloat16)."
        )
