"""The quick captioner: pictures of all callers are captioned in the same slots."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from beam_recap.isolation import ModelFailure, attempt
from beam_recap.models.captioner_checkpoint import Checkpoint
from beam_recap.models.captioner_processor import make_picture
from beam_recap.models.captioner_prompt import RenderedPrompt, end_token_ids
from beam_recap.models.captions import Caption, Trace, check_on_grey, hints_of, make_caption
from beam_recap.models.hinted_prompt import PromptWriter
from beam_recap.models.slots.decoder import UnsupportedModel, check_supported, slot_bytes
from beam_recap.models.slots.engine import Prompt, SlotEngine
from beam_recap.models.slots.float8 import check_float8
from beam_recap.models.slots.scheduler import Row, SlotScheduler, Written

_CPU_SLOTS = 16
_MAX_SLOTS = 256  # more of them make a step hardly dearer per caption: the prefill is what takes the time by then

# Rows read at once. On a GPU some ten thousand tokens fill it; on a CPU a quarter of the slots keeps them full.
_GPU_GROUP = 16
_CPU_GROUPS_PER_SLOTS = 4

_PREPARERS = 8  # threads, at most; one prepares 100 to 300 pictures per second

_GPU_SHARE = 0.85  # of the memory that the weights leave free; the rest is for reading a group of prompts
_GPU_RESERVE_BYTES = 2 * 2**30


class SlotCaptioner:
    """Captions as `Captioner` does, word for word, but quicker. Threads and processes may share it.

    Args:
      model: a transformers ``LlavaForConditionalGeneration`` in evaluation mode on its device; it moves in.
      processor: its processor.
      prompt: goes with every picture, with a row's hint where there is one.
      model_id: its name in the results.
      max_new_tokens: longest caption, tokens.
      slots: captions written at once; None: 16 on a CPU, on a GPU as many as fit its memory, up to 256.
      group: prompts read at once; None: 16 on a GPU, a quarter of the slots on a CPU.
      use_graph: on a GPU, capture a step as a CUDA graph.
      float8: multiply in 8 bits, which is quicker on GPUs that can; captions differ a little.

    Raises:
      UnsupportedModel: the engine cannot run this model; `Captioner` can.
      UnsupportedFloat8: this GPU, or this model, cannot be multiplied in 8 bits.
      WeightsMismatch: its logits for a grey picture are not finite.
      ValueError: it cannot caption a grey picture.
      FatalModelError: the device is gone.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        prompt: RenderedPrompt,
        *,
        model_id: str,
        max_new_tokens: int,
        slots: int | None = None,
        group: int | None = None,
        use_graph: bool = True,
        float8: bool = False,
    ) -> None:
        if model.config.model_type != "llava":
            raise UnsupportedModel(f"it is a {model.config.model_type}, not a llava")
        self._processor = processor
        self._model_id = model_id
        self._image_token = model.config.image_token_id
        self._prompt = prompt_tokens(processor, prompt, self._image_token)
        self._image_tokens = self._prompt.ids.count(self._image_token)
        self._writer = PromptWriter(processor, prompt)
        if self._writer.takes_hints and self._with_picture(self._writer.plain.ids) != self._prompt:
            raise UnsupportedModel("its processor adds more to a prompt than the tokens of the picture")
        max_prompt = len(self._prompt.ids) + self._writer.max_tokens - len(self._writer.plain.ids)
        length = max_prompt + max_new_tokens
        check_supported(model.config.text_config, length)
        if float8:
            check_float8(model.device)
        is_gpu = model.device.type == "cuda"
        bytes_per_slot = slot_bytes(model.config.text_config, length, model.dtype)
        engine: SlotEngine[Row | None] = SlotEngine(
            model,
            end_token_ids(model, processor.tokenizer),
            slots=1,  # until the weights are where they stay: what they leave free decides
            max_prompt=max_prompt,
            max_new_tokens=max_new_tokens,
            use_graph=use_graph,
            float8=float8,
        )
        check_on_grey(model_id, model.dtype, partial(self._is_finite_on, engine))
        if slots is None:
            slots = _slots_that_fit(bytes_per_slot, model.device) if is_gpu else _CPU_SLOTS
        engine.resize(slots)
        self._stage = engine.stage
        if group is None:
            group = _GPU_GROUP if is_gpu else max(1, slots // _CPU_GROUPS_PER_SLOTS)
        self._scheduler = SlotScheduler(engine, group)
        self._preparers = ThreadPoolExecutor(min(_PREPARERS, os.cpu_count() or 1), "beam-recap-prepare")
        self._finalizer = weakref.finalize(self, _close, self._scheduler, self._preparers)

    @classmethod
    def of(cls, checkpoint: Checkpoint, **settings: Any) -> SlotCaptioner:
        """For a checkpoint in memory, which it takes over; the settings are those of the constructor."""
        return cls(checkpoint.model, checkpoint.processor, checkpoint.prompt, model_id=checkpoint.model_id, **settings)

    @property
    def model_id(self) -> str:
        """The folder's name, or ``ID@REVISION``."""
        return self._model_id

    def caption(
        self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None
    ) -> list[Caption | ModelFailure]:
        """One caption or failure per picture, in order. A picture that fails costs its neighbours nothing.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size.
          hints: see `AnyCaptioner.caption`.

        Raises:
          ValueError: see `AnyCaptioner.caption`.
          FatalModelError: the device is gone.
        """
        captions = hints_of(images, hints, self._writer.takes_hints)
        self._scheduler.announce(len(images))
        rows: list[Future[_Asked | ModelFailure]] = []
        try:
            rows += (self._preparers.submit(self._prepare, *row) for row in zip(images, captions, strict=True))
        finally:
            self._scheduler.announce(len(rows) - len(images))
        return [self._caption_of(row.result()) for row in rows]

    def take_splits(self) -> int:
        """How often memory ran out, and less was tried at once, since this was last asked."""
        return self._scheduler.take_splits()

    def close(self) -> None:
        """Ends its threads. What is being captioned ends as an error."""
        self._finalizer()

    def _prepare(self, image: np.ndarray, caption: str | None) -> _Asked | ModelFailure:
        row = attempt(lambda: Row(self._prompt_of(caption), self._stage(prepare_pixels(self._processor, image))))
        if isinstance(row, ModelFailure):
            self._scheduler.withdraw()
            return row
        self._scheduler.submit(row)
        return _Asked(row.future, row.prompt)

    def _prompt_of(self, caption: str | None) -> Prompt:
        written = self._writer.write(caption)
        return self._with_picture(written.ids) if written.hinted else self._prompt

    def _with_picture(self, ids: tuple[int, ...]) -> Prompt:
        """A prompt of ids in which one image token stands for all."""
        start = ids.index(self._image_token)
        return Prompt((*ids[:start], *[self._image_token] * self._image_tokens, *ids[start + 1 :]), start)

    def _caption_of(self, row: _Asked | ModelFailure) -> Caption | ModelFailure:
        if isinstance(row, ModelFailure):
            return row
        written = row.future.result()
        if isinstance(written, ModelFailure):
            return written
        trace = Trace(written.queue_s, written.decode_s, len(row.prompt.ids), written.occupancy)
        # The plain prompt is one object, which a row without a hint has.
        hinted = row.prompt is not self._prompt if self._writer.takes_hints else None
        return make_caption(self._processor.tokenizer, written.ids, written.truncated, trace, hinted)

    def _is_finite_on(self, engine: SlotEngine[Any], image: np.ndarray) -> bool:
        finished = engine.admit([(None, self._prompt, prepare_pixels(self._processor, image))])
        engine.clear()
        return all(writing.is_finite for writing in finished)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a caller keeps of a row; its pixels are the scheduler's, and are freed as soon as it is done."""

    future: Future[Written | ModelFailure]
    prompt: Prompt


def prompt_tokens(processor: Any, prompt: RenderedPrompt, image_token_id: int) -> Prompt:
    """The tokens that go with every picture, as the checkpoint's own processor writes them.

    Raises:
      UnsupportedModel: the tokens of the picture do not stand together.
    """
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    inputs = processor(images=[grey], text=[prompt.text], add_special_tokens=prompt.add_special_tokens)
    ids = [int(token) for token in inputs["input_ids"][0]]
    count = ids.count(image_token_id)
    start = ids.index(image_token_id) if count else 0
    if not count or ids[start : start + count] != [image_token_id] * count:
        raise UnsupportedModel("its prompt does not hold the tokens of the picture in one piece")
    return Prompt(tuple(ids), start)


def prepare_pixels(processor: Any, image: np.ndarray) -> torch.Tensor:
    """One picture as the checkpoint's own image processor gives it: float32 ``[3, H, W]``.

    Raises:
      ValueError: not RGB, uint8 ``[H, W, 3]``.
    """
    inputs = processor.image_processor(images=[make_picture(processor, image)], return_tensors="pt")
    pixels: torch.Tensor = inputs["pixel_values"][0]
    return pixels


def _slots_that_fit(bytes_per_slot: int, device: torch.device) -> int:
    torch.cuda.empty_cache()  # what is kept for later counts as taken
    free, _ = torch.cuda.mem_get_info(device)
    return int(max(1, min(_MAX_SLOTS, (_GPU_SHARE * free - _GPU_RESERVE_BYTES) // bytes_per_slot)))


def _close(scheduler: SlotScheduler, preparers: ThreadPoolExecutor) -> None:
    preparers.shutdown(wait=False)
    scheduler.close()
