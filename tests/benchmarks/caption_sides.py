"""The two sides of the captioner's benchmark, made to write captions of given lengths."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from beam_recap.models.slots.engine import Prompt, SlotEngine, Writing
from beam_recap.models.slots.scheduler import Row, SlotScheduler, Written
from tests.benchmarks.caption_model import END_TOKEN, MAX_TOKENS


class _EndAt:
    """A logits processor that ends each row at its length, and nowhere else."""

    def __init__(self, prompt_tokens: int, lengths: list[int], device: torch.device) -> None:
        self._prompt_tokens = prompt_tokens
        self._lengths = torch.tensor(lengths, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, END_TOKEN] = -torch.inf
        ends = self._lengths == input_ids.shape[1] - self._prompt_tokens
        scores[ends] = -torch.inf
        scores[ends, END_TOKEN] = 0
        return scores


class EngineOfLengths(SlotEngine[Row]):
    """An engine whose answers have the lengths that were drawn."""

    lengths: ClassVar[dict[Row, int]] = {}

    def _is_end(self, writing: Writing[Row], token: int) -> bool:
        return len(writing.ids) == self.lengths[writing.key]


def run_generate(
    model: Any, prompt: list[int], pixels: torch.Tensor, lengths: list[int], batch_size: int
) -> list[list[int]]:
    """New tokens of each picture."""
    from transformers import LogitsProcessorList

    ids: list[list[int]] = []
    for start in range(0, len(lengths), batch_size):
        part = lengths[start : start + batch_size]
        inputs = torch.tensor([prompt] * len(part), device=model.device)
        with torch.inference_mode():
            output = model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                pixel_values=pixels[start : start + batch_size].to(model.device, model.dtype),
                logits_processor=LogitsProcessorList([_EndAt(len(prompt), part, model.device)]),
                max_new_tokens=MAX_TOKENS,
            )
        rows = output[:, len(prompt) :].tolist()
        ids += [row[:length] for row, length in zip(rows, part, strict=True)]
    return ids


def run_slots(
    scheduler: SlotScheduler, prompt: Prompt, pixels: list[torch.Tensor], lengths: list[int]
) -> list[list[int]]:
    """New tokens of each picture."""
    rows = [Row(prompt, one) for one in pixels]
    EngineOfLengths.lengths = dict(zip(rows, lengths, strict=True))
    scheduler.announce(len(rows))
    for row in rows:
        scheduler.submit(row)
    ids = []
    for row in rows:
        result = row.future.result()
        if not isinstance(result, Written):
            raise RuntimeError(f"a picture has no caption: {result}")
        ids.append(result.ids)
    return ids
