"""The plain captioner: transformers' own ``generate``, greedy, for any ``AutoModelForImageTextToText`` checkpoint.

Whether a picture is padded to a square or cropped is the checkpoint's processor's own setting (``do_pad``,
``do_center_crop``); where a LLaVA-1.5 does not say, it is padded: a model must see pictures as it was trained to.

Nothing heavy is imported before `Captioner.load`: importing this module costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from beam_recap.isolation import ModelFailure, attempt, is_out_of_memory, run_isolated
from beam_recap.models.captioner_checkpoint import Checkpoint, open_checkpoint
from beam_recap.models.captioner_processor import make_picture
from beam_recap.models.captioner_prompt import RenderedPrompt, end_token_ids
from beam_recap.models.captions import Caption, Trace, check_on_grey, hints_of, make_caption
from beam_recap.models.hinted_prompt import PromptWriter, WrittenPrompt
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from beam_recap.records import Reason

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)


class Captioner:
    """An image-to-text model that captions. Make one with `load`; threads and processes may share it."""

    def __init__(
        self, model: Any, processor: Any, prompt: RenderedPrompt, *, model_id: str, max_new_tokens: int, batch_size: int
    ):
        """
        Args:
          model: a transformers model in evaluation mode, on its device.
          processor: its processor, padding on the left.
          prompt: goes with every picture, with a row's hint where there is one.
          model_id: its name in the results.
          max_new_tokens: longest caption, tokens.
          batch_size: pictures in one call of the model.
        """
        from transformers import GenerationConfig

        tokenizer = processor.tokenizer
        self._model = model
        self._processor = processor
        self._prompt = prompt
        self._writer = PromptWriter(processor, prompt)
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
        self._lock = threading.Lock()
        self._splits = 0  # under the lock
        check_on_grey(model_id, model.dtype, self._is_finite_on)

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
        hint: str | None = None,
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
          hint: see `render_prompt`.

        Raises:
          WeightsMismatch: the weights are not the model's, or give non-finite numbers.
          ValueError: no such checkpoint, not pinned, not an image-to-text model, or a prompt that cannot be rendered.
          FatalModelError: the device is gone.
        """
        if max_new_tokens < 1 or batch_size < 1:
            raise ValueError(f"max_new_tokens ({max_new_tokens}) and batch_size ({batch_size}) must be at least 1.")
        checkpoint = open_checkpoint(path_or_id, revision, device, dtype, prompt, hint)
        return cls.of(checkpoint, max_new_tokens=max_new_tokens, batch_size=batch_size)

    @classmethod
    def of(cls, checkpoint: Checkpoint, *, max_new_tokens: int, batch_size: int) -> Captioner:
        """For a checkpoint in memory."""
        return cls(
            checkpoint.model,
            checkpoint.processor,
            checkpoint.prompt,
            model_id=checkpoint.model_id,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
        )

    @property
    def model_id(self) -> str:
        """The folder's name, or ``ID@REVISION``."""
        return self._model_id

    def caption(
        self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None
    ) -> list[Caption | ModelFailure]:
        """One caption or failure per picture, in order. A picture that fails costs its neighbours nothing.

        Prompts of equal length go together: nothing is padded, so that a row's caption does not depend on the others.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size.
          hints: see `AnyCaptioner.caption`.

        Raises:
          ValueError: see `AnyCaptioner.caption`.
          FatalModelError: the device is gone.
        """
        asked_at = time.monotonic()
        results: dict[int, Caption | ModelFailure] = {}
        by_length: dict[int, list[tuple[int, _Row]]] = {}
        captions = hints_of(images, hints, self._writer.takes_hints)
        with self._lock:  # a tokenizer's padding is switched on and off
            for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
                prompt = attempt(partial(self._writer.write, caption))
                if isinstance(prompt, ModelFailure):
                    results[number] = prompt
                else:
                    by_length.setdefault(len(prompt.ids), []).append((number, _Row(image, prompt)))
        for alike in by_length.values():
            for start in range(0, len(alike), self._batch_size):
                numbers, rows = zip(*alike[start : start + self._batch_size], strict=True)
                with self._lock:
                    captioned = run_isolated(rows, lambda part: self._caption_batch(part, asked_at))
                results.update(zip(numbers, captioned, strict=True))
        return [results[number] for number in range(len(images))]

    def take_splits(self) -> int:
        """How often memory ran out, and less was tried at once, since this was last asked."""
        with self._lock:
            splits, self._splits = self._splits, 0
        return splits

    def _caption_batch(self, rows: Sequence[_Row], asked_at: float) -> list[Caption | ModelFailure]:
        started_at = time.monotonic()
        try:
            prompt_lengths, new_ids, is_finite = self._generate(
                [row.image for row in rows], [row.prompt.text for row in rows]
            )
        except Exception as error:
            if is_out_of_memory(error) and len(rows) > 1:
                if not self._splits:
                    _LOG.warning(
                        "out of memory, pictures in the batch: %d; --caption_batch_size may be lower", len(rows)
                    )
                self._splits += 1
            raise
        queue_s, decode_s = started_at - asked_at, time.monotonic() - started_at
        return [
            self._caption_of(
                ids, finite, Trace(queue_s, decode_s, length), row.prompt.hinted if self._writer.takes_hints else None
            )
            for row, length, ids, finite in zip(rows, prompt_lengths, new_ids, is_finite, strict=True)
        ]

    def _generate(
        self, images: Sequence[np.ndarray], texts: Sequence[str], max_new_tokens: int | None = None
    ) -> tuple[list[int], list[list[int]], list[list[bool]]]:
        """Tokens of each prompt, new token ids ``[B, T]``, and whether the logits of each were finite ``[B, T]``."""
        import torch
        from transformers import LogitsProcessorList

        inputs = self._processor(
            images=[make_picture(self._processor, image) for image in images],
            text=list(texts),
            return_tensors="pt",
            padding=True,
            add_special_tokens=self._prompt.add_special_tokens,
        ).to(self._model.device, dtype=self._model.dtype)
        watch = _FiniteWatch()
        limit = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        with torch.inference_mode():
            output = self._model.generate(**inputs, logits_processor=LogitsProcessorList([watch]), **limit)
            new_ids: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
            mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
            return mask.sum(dim=1).tolist(), new_ids, watch.flags()

    def _caption_of(
        self, ids: list[int], is_finite: list[bool], trace: Trace | None = None, hinted: bool | None = None
    ) -> Caption | ModelFailure:
        length = next((i for i, token in enumerate(ids) if token in self._end_ids), len(ids))
        # What follows a row's end is padding, computed only because other rows go on.
        if not all(is_finite[: length + 1]):
            return ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite")
        return make_caption(self._processor.tokenizer, ids[:length], length == len(ids), trace, hinted)

    def _is_finite_on(self, image: np.ndarray) -> bool:
        _, _, is_finite = self._generate([image], [self._prompt.text], max_new_tokens=1)
        return all(is_finite[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    image: np.ndarray
    prompt: WrittenPrompt


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
