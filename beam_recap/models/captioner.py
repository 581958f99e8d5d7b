"""The captioner: pictures in, captions out.

Greedy decoding over any ``AutoModelForImageTextToText`` checkpoint. Whether a picture is padded to a square or cropped
is the checkpoint's processor's own setting (``do_pad``, ``do_center_crop``) and is not overridden here: a model must
see pictures as it was trained to see them.

Nothing heavy is imported before `Captioner.load`: importing this module, or receiving its results, costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from beam_recap.isolation import (
    FatalModelError,
    ModelFailure,
    describe_error,
    is_device_lost,
    is_out_of_memory,
    run_isolated,
)
from beam_recap.models.captioner_checkpoint import CaptionerSource, load_checkpoint
from beam_recap.models.captioner_prompt import RenderedPrompt, end_token_ids, render_prompt
from beam_recap.models.runtime import WeightsMismatch, pick_device, pick_dtype
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from beam_recap.records import Reason

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caption:
    """What the captioner wrote about one picture."""

    text: str  # without special tokens and surrounding whitespace, never empty
    tokens: int  # new tokens, without the end token
    truncated: bool  # no end token within the limit


class Captioner:
    """An image-to-text model that captions. Make one with `load`; threads and processes may share it."""

    def __init__(
        self, model: Any, processor: Any, prompt: RenderedPrompt, *, model_id: str, max_new_tokens: int, batch_size: int
    ):
        """
        Args:
          model: a transformers model in evaluation mode, on its device.
          processor: its processor, padding on the left.
          prompt: goes with every picture.
          model_id: its name in the results.
          max_new_tokens: longest caption, tokens.
          batch_size: pictures in one call of the model.
        """
        from transformers import GenerationConfig

        tokenizer = processor.tokenizer
        self._model = model
        self._processor = processor
        self._prompt = prompt
        self._model_id = model_id
        self._batch_size = batch_size
        self._end_ids = end_token_ids(model, tokenizer)
        pad = model.generation_config.pad_token_id
        pad = tokenizer.pad_token_id if pad is None else pad
        # In place of the checkpoint's: its sampling settings and penalties would otherwise change greedy decoding.
        model.generation_config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            eos_token_id=self._end_ids,
            pad_token_id=self._end_ids[0] if pad is None else pad,
        )
        self._has_warned = False
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path_or_id: str,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        prompt: str = RECAP_PROMPT,
        max_new_tokens: int = RECAP_MAX_NEW_TOKENS,
        batch_size: int = 16,
    ) -> Captioner:
        """Loads a checkpoint in Hugging Face layout and captions a grey picture to see that it works.

        Args:
          path_or_id: a folder, or ``ID@REVISION`` of the Hugging Face hub.
          revision: the commit, where it is not part of ``path_or_id``.
          device: see `pick_device`.
          dtype: see `pick_dtype`.
          prompt: what the model is asked about every picture, in plain words.
          max_new_tokens: longest caption, tokens.
          batch_size: pictures in one call of the model.

        Raises:
          WeightsMismatch: the weights are not the model's, or give non-finite numbers.
          ValueError: no such checkpoint, not pinned, not an image-to-text model, or a prompt that cannot be rendered.
          FatalModelError: the device is gone.
        """
        if max_new_tokens < 1 or batch_size < 1:
            raise ValueError(f"max_new_tokens ({max_new_tokens}) and batch_size ({batch_size}) must be at least 1.")
        torch_device = pick_device(device)
        source = CaptionerSource.parse(str(path_or_id), revision)
        model, processor = load_checkpoint(source, torch_device, pick_dtype(dtype, torch_device))
        captioner = cls(
            model,
            processor,
            render_prompt(processor, prompt),
            model_id=source.model_id,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
        )
        captioner._check_itself()
        _LOG.info("loaded captioner %s on %s in %s", source.model_id, torch_device, model.dtype)
        return captioner

    @property
    def model_id(self) -> str:
        """The folder's name, or ``ID@REVISION``."""
        return self._model_id

    def caption(self, images: Sequence[np.ndarray]) -> list[Caption | ModelFailure]:
        """One caption or failure per picture, in order. A picture that fails costs its neighbours nothing.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size.

        Raises:
          FatalModelError: the device is gone.
        """
        results: list[Caption | ModelFailure] = []
        for start in range(0, len(images), self._batch_size):
            with self._lock:
                results += run_isolated(images[start : start + self._batch_size], self._caption_batch)
        return results

    def _caption_batch(self, images: Sequence[np.ndarray]) -> list[Caption | ModelFailure]:
        try:
            new_ids, is_finite = self._generate(images)
        except Exception as error:
            if is_out_of_memory(error) and not self._has_warned:
                self._has_warned = True
                _LOG.warning("out of memory, pictures in the batch: %d; --caption_batch_size may be lower", len(images))
            raise
        return [self._caption_of(ids, finite) for ids, finite in zip(new_ids, is_finite, strict=True)]

    def _generate(
        self, images: Sequence[np.ndarray], max_new_tokens: int | None = None
    ) -> tuple[list[list[int]], list[list[bool]]]:
        """New token ids ``[B, T]``, and whether the logits of each were finite ``[B, T]``."""
        import torch
        from PIL import Image
        from transformers import LogitsProcessorList

        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"a picture must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        inputs = self._processor(
            # As PIL images: of an array of three rows it could not be told which dimension holds the colours.
            images=[Image.fromarray(image) for image in images],
            text=[self._prompt.text] * len(images),
            return_tensors="pt",
            padding=True,
            add_special_tokens=self._prompt.add_special_tokens,
        ).to(self._model.device, dtype=self._model.dtype)
        watch = _FiniteWatch()
        limit = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        with torch.inference_mode():
            output = self._model.generate(**inputs, logits_processor=LogitsProcessorList([watch]), **limit)
            new_ids: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
            return new_ids, watch.flags()

    def _caption_of(self, ids: list[int], is_finite: list[bool]) -> Caption | ModelFailure:
        length = next((i for i, token in enumerate(ids) if token in self._end_ids), len(ids))
        truncated = length == len(ids)
        # What follows a row's end is padding, computed only because other rows go on.
        if not all(is_finite[: length + 1]):
            return ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite")
        text = self._processor.tokenizer.decode(
            ids[:length], skip_special_tokens=True, clean_up_tokenization_spaces=False
        ).strip()
        if not text:
            return ModelFailure(Reason.EMPTY_RECAPTION, f"{length} new tokens, no text")
        return Caption(text, length, truncated)

    def _check_itself(self) -> None:
        grey = np.full((64, 64, 3), 128, np.uint8)
        try:
            _, is_finite = self._generate([grey], max_new_tokens=1)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if is_device_lost(error):
                raise FatalModelError(describe_error(error)) from error
            raise ValueError(
                f"{self._model_id} cannot caption a plain grey picture: {describe_error(error)}"
            ) from error
        if not all(is_finite[0]):
            raise WeightsMismatch(
                f"{self._model_id} gives non-finite numbers in {self._model.dtype}: its weights are broken, or too "
                "large for the dtype (then use --dtype=bfloat16)."
            )


class _FiniteWatch:
    """A logits processor that changes nothing and remembers which rows were finite at each step."""

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Takes logits ``[B, V]``. A row's largest is NaN if any is NaN; -inf elsewhere in the row is harmless."""
        self._steps.append(scores.amax(dim=-1).isfinite())
        return scores

    def flags(self) -> list[list[bool]]:
        """``[B, T]``, copied from the device once."""
        import torch

        flags: list[list[bool]] = torch.stack(self._steps, dim=1).tolist()
        return flags
