"""What has to be known of a checkpoint before vLLM loads its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_recap.isolation import describe_error
from beam_recap.models.captioner_checkpoint import CaptionerSource
from beam_recap.models.captioner_prompt import RenderedPrompt

_TOWERS = ("clip_vision_model", "siglip_vision_model")
_TOWER_PREFIXES = ("vision_tower.", "model.vision_tower.")


def expanded_ids(processor: Any, prompt: RenderedPrompt) -> list[int]:
    """The tokens that go with every picture, with its own, as the checkpoint's processor writes them."""
    from PIL import Image

    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    inputs = processor(images=[grey], text=[prompt.text], add_special_tokens=prompt.add_special_tokens)
    return [int(token) for token in inputs["input_ids"][0]]


def has_transformers_names(names: Sequence[str]) -> bool:
    """Whether the vision tower's tensors are called as transformers 5 saves them, which leaves "vision_model." out."""
    tower = [name.removeprefix(prefix) for name in names for prefix in _TOWER_PREFIXES if name.startswith(prefix)]
    return bool(tower) and not any(name.startswith("vision_model.") for name in tower)


def tensor_names(source: CaptionerSource) -> list[str]:
    """Names of a checkpoint's tensors, read from its index or the heads of its safetensors files.

    Raises:
      ValueError: no readable safetensors.
    """
    from safetensors import SafetensorError, safe_open
    from transformers.utils import cached_file

    arguments = {**source.arguments, "_raise_exceptions_for_missing_entries": False}
    arguments.pop("trust_remote_code")
    try:
        if index := cached_file(source.location, "model.safetensors.index.json", **arguments):
            return list(json.loads(Path(index).read_text())["weight_map"])
        if single := cached_file(source.location, "model.safetensors", **arguments):
            with safe_open(single, "pt") as file:
                return list(file.keys())
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"--captioner={source.shown}: no readable safetensors ({describe_error(error)}).") from error
    raise ValueError(f"--captioner={source.shown}: no readable safetensors weights.")


def check_supported(source: CaptionerSource, config: Any) -> None:
    """Raises ValueError for what is not a LLaVA with CLIP or SigLIP: others give pictures various numbers of tokens."""
    tower = getattr(getattr(config, "vision_config", None), "model_type", None)
    if config.model_type != "llava" or tower not in _TOWERS:
        kind = config.model_type if tower is None else f"{config.model_type} with a {tower}"
        raise ValueError(
            f"--caption_engine=vllm: {source.model_id} is a {kind}, not a LLaVA with CLIP or SigLIP; use auto or "
            "generate, or vLLM as a server by --caption_endpoint."
        )
