"""Captions by vLLM's offline engine, where that is installed: LLaVA on a GPU that vLLM knows how to use.

vLLM calls the checkpoint's own transformers processor, so pictures are padded or cropped as it says (or by us, where it
does not say); that the prompt is the same too is seen when the captioner is made.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from beam_recap.isolation import (
    FatalModelError,
    ModelFailure,
    attempt,
    describe_error,
    is_out_of_memory,
    run_isolated,
)
from beam_recap.models.captioner_checkpoint import CaptionerSource, check_checkpoint
from beam_recap.models.captioner_processor import make_picture
from beam_recap.models.captioner_prompt import RenderedPrompt, end_token_ids, render_prompt
from beam_recap.models.captions import Caption, Trace, check_on_grey, hints_of, make_caption
from beam_recap.models.hinted_prompt import PromptWriter, WrittenPrompt
from beam_recap.models.runtime import pick_device, pick_dtype
from beam_recap.models.vllm_checkpoint import (
    check_supported,
    expanded_ids,
    has_transformers_names,
    tensor_names,
)
from beam_recap.models.vllm_engine import Engine, EngineSettings, require_vllm, start_engine
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from beam_recap.records import Reason

_LOG = logging.getLogger(__name__)

_ROWS = {"cpu": 16, "cuda": 256}  # where it is left to us; vLLM lets those wait for which it has no memory
_CALLS_OF = 4  # rows of one call, as a multiple of those written at once: their pixels are in memory


class VllmCaptioner:
    """Captions by a vLLM engine. Make one with `load`; threads and processes may share it, one calls at a time.

    Args:
      engine: a running one, idle; it moves in.
      processor: the checkpoint's.
      prompt: goes with every picture, with a row's hint where there is one.
      model_id: its name in the results.
      dtype: of the weights, for messages.
      end_ids: tokens that end a caption.
      rows: captions written at once.

    Raises:
      WeightsMismatch: its logits for a grey picture are not finite.
      ValueError: it cannot caption a grey picture, or reads another prompt than the processor writes.
    """

    def __init__(
        self,
        engine: Engine,
        processor: Any,
        prompt: RenderedPrompt,
        *,
        model_id: str,
        dtype: Any,
        end_ids: Sequence[int],
        rows: int,
    ) -> None:
        self._engine = engine
        self._processor = processor
        self._writer = PromptWriter(processor, prompt)
        self._expected_ids = expanded_ids(processor, prompt)
        self._model_id = model_id
        self._end_ids = frozenset(end_ids)
        self._rows_per_call = _CALLS_OF * rows
        self._lock = threading.Lock()  # an LLM is not made for several threads
        self._splits = 0  # under the lock
        check_on_grey(model_id, dtype, self._is_finite_on)

    @classmethod
    def load(
        cls,
        path_or_id: str,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        prompt: str = RECAP_PROMPT,
        max_new_tokens: int = RECAP_MAX_NEW_TOKENS,
        batch_size: int | None = None,
        hint: str | None = None,
    ) -> VllmCaptioner:
        """Starts vLLM on a LLaVA checkpoint in Hugging Face layout and captions a grey picture to see that it works.

        Args:
          path_or_id: a folder, local or remote, or ``ID@REVISION`` of the Hugging Face hub.
          revision: the commit, where it is not part of ``path_or_id``.
          device: see `pick_device`.
          dtype: see `pick_dtype`.
          prompt: what the model is asked about every picture, in plain words.
          max_new_tokens: longest caption, tokens.
          batch_size: captions written at once, at most; None: 16 on a CPU, 256 on a GPU.
          hint: see `render_prompt`.

        Raises:
          WeightsMismatch: the weights are not the model's, or give non-finite numbers.
          ValueError: vLLM is not installed or cannot run the checkpoint; no such checkpoint, not pinned, not a LLaVA,
            or a prompt that cannot be rendered.
          FatalModelError: the device is gone.
        """
        if max_new_tokens < 1 or (batch_size is not None and batch_size < 1):
            raise ValueError(f"max_new_tokens ({max_new_tokens}) and batch_size ({batch_size}) must be at least 1.")
        require_vllm()
        torch_device = pick_device(device)
        torch_dtype = pick_dtype(dtype, torch_device)
        source = CaptionerSource.parse(str(path_or_id), revision)
        model, processor = check_checkpoint(source)
        check_supported(source, model.config)
        rendered = render_prompt(processor, prompt, hint)
        writer = PromptWriter(processor, rendered)
        hint_tokens = writer.max_tokens - len(writer.plain.ids)
        end_ids = tuple(end_token_ids(model, processor.tokenizer))
        rows = batch_size or _ROWS[torch_device.type]
        settings = EngineSettings(
            location=source.location,
            revision=source.revision,
            transformers_names=has_transformers_names(tensor_names(source)),
            device=torch_device,
            dtype=torch_dtype,
            max_tokens=len(expanded_ids(processor, rendered)) + hint_tokens + max_new_tokens,
            max_new_tokens=max_new_tokens,
            rows=rows,
            end_ids=end_ids,
        )
        engine = start_engine(settings)
        _LOG.info("loaded captioner %s in vLLM on %s in %s", source.model_id, torch_device, torch_dtype)
        try:
            return cls(
                engine,
                processor,
                rendered,
                model_id=source.model_id,
                dtype=torch_dtype,
                end_ids=end_ids,
                rows=rows,
            )
        except BaseException:
            engine.close()
            raise

    @property
    def model_id(self) -> str:
        """The folder's name or remote path, or ``ID@REVISION``."""
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
          FatalModelError: the engine or its device is gone.
        """
        asked_at = time.monotonic()
        captions = hints_of(images, hints, self._writer.takes_hints)
        results: list[Caption | ModelFailure] = []
        for start in range(0, len(images), self._rows_per_call):
            part = slice(start, start + self._rows_per_call)
            with self._lock:
                rows = [
                    attempt(partial(self._prepare, image, caption))
                    for image, caption in zip(images[part], captions[part], strict=True)
                ]
                written = iter(
                    run_isolated(
                        [row for row in rows if isinstance(row, _Row)], lambda some: self._caption_rows(some, asked_at)
                    )
                )
            results += [row if isinstance(row, ModelFailure) else next(written) for row in rows]
        return results

    def take_splits(self) -> int:
        """How often memory ran out, and less was tried at once, since this was last asked."""
        with self._lock:
            splits, self._splits = self._splits, 0
        return splits

    def close(self) -> None:
        """Ends the engine's processes."""
        self._engine.close()

    def _prepare(self, image: np.ndarray, caption: str | None) -> _Row:
        picture = {"image": make_picture(self._processor, image)}
        written = self._writer.write(caption)
        # Of the image token vLLM makes as many as the picture needs.
        return _Row({"prompt_token_ids": list(written.ids), "multi_modal_data": picture}, written)

    def _caption_rows(self, rows: Sequence[_Row], asked_at: float) -> list[Caption | ModelFailure]:
        try:
            outputs = self._generate(rows)
        except Exception as error:
            if is_out_of_memory(error) and len(rows) > 1:
                self._splits += 1
            raise
        return [self._caption_of(row, output, asked_at) for row, output in zip(rows, outputs, strict=True)]

    def _generate(self, rows: Sequence[_Row]) -> Sequence[Any]:
        """vLLM's ``RequestOutput`` of each row.

        Raises:
          FatalModelError: the engine's process is dead, or has stopped in the midst of its work; asked again it would
            answer what it was asked before.
        """
        try:
            return self._engine.generate([row.request for row in rows])
        except Exception as error:
            if type(error).__name__ == "EngineDeadError" or not self._engine.is_idle():
                raise FatalModelError(f"vLLM's engine is gone ({describe_error(error)})") from error
            raise

    def _caption_of(self, row: _Row, output: Any, asked_at: float) -> Caption | ModelFailure:
        completion = output.outputs[0]
        if completion.finish_reason not in ("stop", "length"):
            return ModelFailure(Reason.MODEL_ERROR, f"vLLM ended a caption by {completion.finish_reason!r}")
        if not _is_finite(completion):
            return ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite")
        ids = list(completion.token_ids)
        length = next((i for i, token in enumerate(ids) if token in self._end_ids), len(ids))
        hinted = row.written.hinted if self._writer.takes_hints else None
        trace = _trace(output, asked_at)
        return make_caption(self._processor.tokenizer, ids[:length], length == len(ids), trace, hinted)

    def _is_finite_on(self, image: np.ndarray) -> bool:
        (output,) = self._generate([self._prepare(image, None)])
        if list(output.prompt_token_ids) != self._expected_ids:
            raise ValueError("vLLM reads another prompt than the checkpoint's processor writes")
        return _is_finite(output.outputs[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    request: dict[str, Any]  # a TokensPrompt
    written: WrittenPrompt


def _is_finite(completion: Any) -> bool:
    total = completion.cumulative_logprob
    return total is not None and math.isfinite(total)


def _trace(output: Any, asked_at: float) -> Trace | None:
    """None where vLLM tells no times; its clock is this machine's monotonic one, as ``asked_at``'s."""
    begun = getattr(output.metrics, "scheduled_ts", 0.0)
    ended = getattr(output.metrics, "last_token_ts", 0.0)
    if not begun or not ended:
        return None
    return Trace(max(0.0, begun - asked_at), ended - begun, len(output.prompt_token_ids))
