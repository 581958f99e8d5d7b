"""A captioner of the engine that was asked for, or of the quickest that can run the model."""

from __future__ import annotations

import logging

from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_checkpoint import open_checkpoint
from beam_recap.models.slot_captioner import SlotCaptioner
from beam_recap.models.slots.decoder import UnsupportedModel
from beam_recap.models.slots.float8 import UnsupportedFloat8
from beam_recap.models.vllm_captioner import VllmCaptioner
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT

_LOG = logging.getLogger(__name__)

_GENERATE_BATCH = {"cpu": 16, "cuda": 64}  # images; where it is left to us


def load_captioner(
    path_or_id: str,
    *,
    revision: str | None = None,
    engine: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    prompt: str = RECAP_PROMPT,
    max_new_tokens: int = RECAP_MAX_NEW_TOKENS,
    batch_size: int | None = None,
    quantization: str | None = None,
    hint: str | None = None,
) -> Captioner | SlotCaptioner | VllmCaptioner:
    """Loads a checkpoint in Hugging Face layout and captions a grey picture to see that it works.

    Args:
      path_or_id: a folder, or ``ID@REVISION`` of the Hugging Face hub.
      revision: the commit, where it is not part of ``path_or_id``.
      engine: "slots", "generate", "vllm", or "auto": slots where they can run the model, else generate.
      device: see `pick_device`.
      dtype: see `pick_dtype`.
      prompt: what the model is asked about every picture, in plain words.
      max_new_tokens: longest caption, tokens.
      batch_size: captions written at once; None: as many as suit the device.
      quantization: "fp8": matrix products of the language model in 8 bits, by the slots only; None: as in ``dtype``.
      hint: see `render_prompt`.

    Raises:
      WeightsMismatch: the weights are not the model's, or give non-finite numbers.
      ValueError: no such checkpoint, not pinned, not an image-to-text model, a prompt that cannot be rendered, or not
        one for the engine that was asked for.
      FatalModelError: the device is gone.
    """
    if max_new_tokens < 1 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"max_new_tokens ({max_new_tokens}) and batch_size ({batch_size}) must be at least 1.")
    if quantization is not None and engine in ("generate", "vllm"):
        raise ValueError(f"--caption_quantization={quantization} is not for --caption_engine={engine}; use slots.")
    if engine == "vllm":
        return VllmCaptioner.load(path_or_id, revision, device, dtype, prompt, max_new_tokens, batch_size, hint)
    checkpoint = open_checkpoint(path_or_id, revision, device, dtype, prompt, hint)
    if engine != "generate":
        try:
            return SlotCaptioner.of(
                checkpoint, max_new_tokens=max_new_tokens, slots=batch_size, float8=quantization == "fp8"
            )
        except UnsupportedFloat8 as error:
            raise ValueError(f"--caption_quantization=fp8: {checkpoint.model_id}: {error}; use none.") from error
        except UnsupportedModel as error:
            if quantization is not None:
                raise ValueError(
                    f"--caption_quantization={quantization}: {checkpoint.model_id} cannot run in slots: {error}; use "
                    "none."
                ) from error
            if engine == "slots":
                raise ValueError(
                    f"--caption_engine=slots: {checkpoint.model_id} cannot run there: {error}; use auto or generate."
                ) from error
            _LOG.info("captioner %s runs by transformers' generate: %s", checkpoint.model_id, error)
    return Captioner.of(
        checkpoint,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size or _GENERATE_BATCH[checkpoint.model.device.type],
    )
