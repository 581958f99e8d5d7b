"""Loads an image-to-text checkpoint strictly: the right kind, whole, pinned, and without running its code."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_recap.models.captioner_prompt import RenderedPrompt, render_prompt
from beam_recap.models.runtime import (
    WeightsMismatch,
    pick_device,
    pick_dtype,
    quiet_transformers,
    require_exact_weights,
)

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Vision towers that put a class token before their patches, and towers that do not.
_CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0}


@dataclass(frozen=True, slots=True)
class CaptionerSource:
    """Where a checkpoint is: a local folder, or a Hugging Face id with the commit that pins it."""

    location: str  # folder or hub id
    revision: str | None  # None for a folder

    @classmethod
    def parse(cls, path_or_id: str, revision: str | None = None) -> CaptionerSource:
        """Reads a folder's path, or ``ID@REVISION`` (the revision may also be given apart).

        Raises:
          ValueError: neither a folder nor a hub id, a hub id without a commit hash, or a folder with a revision.
        """
        if Path(path_or_id).is_dir():
            if revision:
                raise ValueError(f"--captioner={path_or_id} is a folder: it has no revision {revision}.")
            return cls(str(path_or_id), None)
        hub_id, _, named = path_or_id.partition("@")
        if not _HUB_ID.fullmatch(hub_id) or hub_id.startswith("."):
            raise ValueError(f"--captioner={path_or_id} is neither a folder nor a Hugging Face id (ID@REVISION).")
        if named and revision and named != revision:
            raise ValueError(f"--captioner={path_or_id}: the revision is also given as {revision}.")
        if not _COMMIT.fullmatch(named or revision or ""):
            raise ValueError(
                f"--captioner={path_or_id}: give --captioner=ID@REVISION, where REVISION is the full commit hash (40 "
                "hexadecimal digits): a branch or a tag can change between two runs."
            )
        return cls(hub_id, named or revision)

    @property
    def model_id(self) -> str:
        """The folder's name, or ``ID@REVISION``."""
        return f"{self.location}@{self.revision}" if self.revision else Path(self.location).resolve().name

    @property
    def arguments(self) -> dict[str, Any]:
        """What every ``from_pretrained`` call gets: never a stranger's code, and no network for a folder."""
        is_local = self.revision is None
        return {"trust_remote_code": False, "local_files_only": is_local, "revision": self.revision or "main"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory, and how it is asked."""

    model: Any  # in evaluation mode, on its device
    processor: Any
    prompt: RenderedPrompt
    model_id: str


def open_checkpoint(path_or_id: str, revision: str | None, device: str, dtype: str, prompt: str) -> Checkpoint:
    """Loads a checkpoint in Hugging Face layout.

    Args:
      path_or_id: a folder, or ``ID@REVISION`` of the Hugging Face hub.
      revision: the commit, where it is not part of ``path_or_id``.
      device: see `pick_device`.
      dtype: see `pick_dtype`.
      prompt: what the model is asked about every picture, in plain words.

    Raises:
      WeightsMismatch: the weights are not the model's.
      ValueError: no such checkpoint, not pinned, not an image-to-text model, or a prompt that cannot be rendered.
    """
    torch_device = pick_device(device)
    source = CaptionerSource.parse(str(path_or_id), revision)
    model, processor = load_checkpoint(source, torch_device, pick_dtype(dtype, torch_device))
    checkpoint = Checkpoint(model, processor, render_prompt(processor, prompt), source.model_id)
    _LOG.info("loaded captioner %s on %s in %s", source.model_id, torch_device, model.dtype)
    return checkpoint


def load_checkpoint(source: CaptionerSource, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model (evaluation mode, on its device) and its processor.

    Raises:
      WeightsMismatch: a tensor is missing, left over or of another shape, or a weights file is not whole.
      ValueError: no image-to-text checkpoint, the original LLaVA layout, no safetensors, no whole processor.
    """
    quiet_transformers()
    _check_kind(source)
    model = _load_model(source, dtype)
    processor = _load_processor(source)
    _complete_processor(processor, model.config)
    return model.to(device).eval().requires_grad_(False), processor


def _check_kind(source: CaptionerSource) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

    try:
        raw, _ = PreTrainedConfig.get_config_dict(source.location, **source.arguments)
    except OSError as error:
        raise ValueError(f"--captioner={source.location}: no readable config.json ({_first_line(error)}).") from error
    if not raw:
        raise ValueError(f"--captioner={source.location}: no readable config.json.")
    model_type = str(raw.get("model_type"))
    # The original code base writes "llava" too, with other fields: a model of default sizes would come of it.
    if model_type == "llava_llama" or "mm_vision_tower" in raw or "mm_projector_type" in raw:
        raise ValueError(
            f"--captioner={source.location}: this is the original LLaVA layout (model type {model_type}); it must be "
            "converted first: python -m beam_recap.convert_llava --help."
        )
    try:
        config = AutoConfig.from_pretrained(source.location, **source.arguments)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"--captioner={source.location}: this version of transformers does not know the model type {model_type}."
        ) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise ValueError(f"--captioner={source.location}: a model of type {model_type} does not turn images into text.")


def _load_model(source: CaptionerSource, dtype: torch.dtype) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            source.location,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported with the others, below
            **source.arguments,
        )
    except SafetensorError as error:
        raise WeightsMismatch(f"--captioner={source.location}: a weights file is not whole ({error}).") from error
    except OSError as error:
        raise ValueError(
            f"--captioner={source.location}: no readable safetensors weights ({_first_line(error)})."
        ) from error
    # transformers only warns and leaves random numbers in place. An output layer that is tied to the embeddings is
    # not reported as missing, unless the embeddings are missing too.
    require_exact_weights(
        f"--captioner={source.location}",
        missing=info["missing_keys"],
        unexpected=info["unexpected_keys"],
        misshaped=[f"{name} {list(theirs)}, not {list(ours)}" for name, theirs, ours in info["mismatched_keys"]],
    )
    if info.get("error_msgs"):
        raise WeightsMismatch(f"--captioner={source.location}: {info['error_msgs'][0]}")
    return model


def _load_processor(source: CaptionerSource) -> Any:
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source.location, **source.arguments)
    except (OSError, ValueError) as error:
        raise ValueError(f"--captioner={source.location}: no readable processor ({_first_line(error)}).") from error
    for part in ("image_processor", "tokenizer"):
        if getattr(processor, part, None) is None:
            raise ValueError(
                f"--captioner={source.location}: its processor has no {part}; copy it from the base model."
            )
    # Where prompts differ in length they are padded on the side away from the caption.
    processor.tokenizer.padding_side = "left"
    return processor


def _complete_processor(processor: Any, config: Any) -> None:
    """Makes a LLaVA processor put as many image tokens into the prompt as the model makes image features.

    Older checkpoints lack these three settings: without the first the processor fails at its first picture, and with
    the default of the last every picture is one token short.
    """
    if not hasattr(processor, "num_additional_image_tokens") or not hasattr(config, "vision_feature_select_strategy"):
        return
    if processor.patch_size is None:
        processor.patch_size = config.vision_config.patch_size
    processor.vision_feature_select_strategy = config.vision_feature_select_strategy
    tower = config.vision_config.model_type
    if tower in _CLASS_TOKENS:
        processor.num_additional_image_tokens = _CLASS_TOKENS[tower]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
