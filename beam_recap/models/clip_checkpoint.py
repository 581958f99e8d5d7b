"""Loads open_clip models strictly: never random weights, never the wrong activation, nothing unpickled."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_recap.model_files import local_copy, unpinned
from beam_recap.models.clip_openai_layout import load_openai_layout
from beam_recap.models.runtime import WeightsMismatch, quiet_transformers, require_exact_weights
from beam_recap.names import CLIP_FILES
from beam_recap.remote_files import is_remote

if TYPE_CHECKING:
    import torch

_CONFIG = "open_clip_config.json"
# open_clip's order of preference, without the pickled kinds.
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")


@dataclass(frozen=True, slots=True)
class LoadedClip:
    """An open_clip model on its device in evaluation mode, with its own transform and tokenizer."""

    model: Any
    transform: Any
    tokenizer: Any
    model_id: str


def load_clip(model: str, pretrained: str | None, device: torch.device, dtype: torch.dtype) -> LoadedClip:
    """Loads by name and tag, or from a folder or file, local or remote (`local_copy`); see `ClipScorer.load`.

    Raises:
      ModelFilesError: a remote folder cannot be copied.
      FileNotFoundError, WeightsMismatch, ValueError: as `ClipScorer.load` says.
    """
    quiet_transformers()
    if Path(unpinned(model)).suffix in CLIP_FILES:
        if pretrained:
            raise ValueError(
                f"--clip_model={unpinned(model)} is a file of weights: --clip_pretrained={pretrained} does not apply."
            )
        return _load_file(model, device, dtype)
    if is_remote(model) or Path(model).is_dir():
        if pretrained:
            raise ValueError(
                f"--clip_model={unpinned(model)} is a folder with its own weights: --clip_pretrained={pretrained} does "
                "not apply."
            )
        folder = local_copy(model, "clip_model", first_of=_WEIGHTS)
        return _load_folder(folder, unpinned(model) if is_remote(model) else folder.resolve().name, device, dtype)
    return _load_tag(model, pretrained, device, dtype)


def _load_tag(name: str, tag: str | None, device: torch.device, dtype: torch.dtype) -> LoadedClip:
    import open_clip

    config = None if ":" in name else open_clip.get_model_config(name)
    if config is None:
        raise ValueError(f"--clip_model={name} is neither a folder nor a model of open_clip, such as ViT-L-14.")
    if not tag:
        raise ValueError(f"--clip_model={name} needs --clip_pretrained, such as openai: its weights would be random.")
    tag_config = open_clip.get_pretrained_cfg(name, tag)
    if not tag_config:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(name)[:10])
        raise ValueError(f"--clip_pretrained={tag} is no weights of {name}; open_clip has {known}.")
    # OpenAI's weights need QuickGELU. open_clip 3 knows that but only warns, and computes with GELU.
    quick_gelu = bool(tag_config.get("quick_gelu", False))
    if config.get("quick_gelu", False) and not quick_gelu:
        raise ValueError(
            f"--clip_model={name} computes QuickGELU and --clip_pretrained={tag} was trained with GELU: "
            f"use {name.removesuffix('-quickgelu')}."
        )
    model, _, transform = open_clip.create_model_and_transforms(
        name,
        pretrained=tag,
        precision=_precision(dtype),
        device=device,
        force_quick_gelu=quick_gelu,
        weights_only=True,  # its default; a loader that unpickles would run a stranger's code
    )
    return LoadedClip(_frozen(model), transform, open_clip.get_tokenizer(name), f"{name}/{tag}")


def _load_folder(folder: Path, model_id: str, device: torch.device, dtype: torch.dtype) -> LoadedClip:
    import open_clip

    _check_config(folder)
    weights = _find_weights(folder)
    name = f"local-dir:{folder}"
    with _without_random_weights_warning():
        model, _, transform = open_clip.create_model_and_transforms(
            name, precision=_precision(dtype), device=device, load_weights=False, pretrained_text=False
        )
    _load_weights(model, weights)
    return LoadedClip(_frozen(model), transform, open_clip.get_tokenizer(name), model_id)


def _load_file(path: str, device: torch.device, dtype: torch.dtype) -> LoadedClip:
    model, transform, tokenizer = load_openai_layout(local_copy(path, "clip_model"))
    return LoadedClip(_frozen(model).to(device, dtype), transform, tokenizer, Path(unpinned(path)).name)


def _check_config(folder: Path) -> None:
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        tokenizer_settings = config["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not an open_clip model config ({type(error).__name__}: {error}).") from error
    if "trust_remote_code" in tokenizer_settings:
        raise ValueError(f"{path}: it asks for trust_remote_code; code from model folders is never run.")


def _find_weights(folder: Path) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder}: no .safetensors weights (pickled .bin, .pt and .pth files are not read).")
    named = [folder / name for name in _WEIGHTS if folder / name in files]
    if not named and len(files) > 1:
        raise ValueError(f"{folder}: several .safetensors files; call the right one {_WEIGHTS[0]}.")
    return (named or files)[0]


def _load_weights(model: Any, path: Path) -> None:
    """Loads with open_clip's own loader, which also knows older layouts, and refuses whatever does not fit."""
    from open_clip.factory import load_checkpoint
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsMismatch(f"{path}: not a whole safetensors file ({error}).") from error
    # Before loading: open_clip would stretch position embeddings of another length without a word. A scale may be
    # stored as a number or as a list of one.
    require_exact_weights(
        str(path),
        misshaped=[
            f"{name} {list(shapes[name])}, not {list(tensor.shape)}"
            for name, tensor in model.state_dict().items()
            if name in shapes
            and shapes[name] != tuple(tensor.shape)
            and not (tensor.numel() == 1 and shapes[name] in {(), (1,)})
        ],
    )
    try:
        keys = load_checkpoint(model, str(path), strict=False, weights_only=True)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise WeightsMismatch(f"{path}: the weights are not this model's: {error}") from error
    require_exact_weights(str(path), missing=keys.missing_keys, unexpected=keys.unexpected_keys)


def _precision(dtype: torch.dtype) -> str:
    return {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}[str(dtype)]


def _frozen(model: Any) -> Any:
    return model.eval().requires_grad_(False)


@contextmanager
def _without_random_weights_warning() -> Iterator[None]:
    """open_clip warns that the model it makes is random; the weights follow at once."""
    root = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return "No pretrained weights loaded" not in record.getMessage()

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
