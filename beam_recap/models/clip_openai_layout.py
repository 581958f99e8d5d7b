"""Reads CLIP weights in OpenAI's layout from one file: the sizes are in the tensors, there is no config.

LongCLIP's checkpoints (arXiv 2403.15378) are of this layout with a context of 248 tokens and two tables of positions:
the first 20 positions come from ``positional_embedding``, which is kept as it was, the others from
``positional_embedding_res``, which was trained. The rest is OpenAI's: QuickGELU, heads of 64 numbers, the transform of
pictures, the tokenizer. Sources: openai/CLIP ``model.py``, beichenzbc/Long-CLIP ``model/model_longclip.py``.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_recap.models.runtime import WeightsMismatch, require_exact_weights

if TYPE_CHECKING:
    import torch

LONG_CONTEXT = 248  # 77 * 4 - 60: 20 positions are kept, 57 stretched to four times as many
_KEPT_POSITIONS = 20
_HEAD_SIZE = 64
_SIZES = ("input_resolution", "context_length", "vocab_size")  # numbers that some files carry beside the weights


def load_openai_layout(path: Path) -> tuple[Any, Any, Any]:
    """A ViT of OpenAI's or LongCLIP's, in float32 on the CPU: the model, its transform, its tokenizer.

    Args:
      path: a ``.pt`` or ``.pth`` (a dictionary of tensors; nothing in it is executed) or ``.safetensors`` file.

    Raises:
      FileNotFoundError: there is no such file.
      WeightsMismatch: not a file of tensors, or not those of such a model.
    """
    import open_clip
    import torch

    weights = _read(path)
    for name in _SIZES:
        weights.pop(name, None)
    weights = {name: tensor.float() for name, tensor in weights.items()}
    config = _config_of(path, weights)
    _join_positions(path, weights)
    model = open_clip.CLIP(**config, quick_gelu=True)
    ours = model.state_dict()
    require_exact_weights(
        str(path),
        missing=ours.keys() - weights.keys(),
        unexpected=weights.keys() - ours.keys(),
        misshaped=[
            f"{name} {list(weights[name].shape)}, not {list(tensor.shape)}"
            for name, tensor in ours.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    )
    model.load_state_dict(weights)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise WeightsMismatch(f"{path}: the weights are not finite.")
    # The defaults of both are OpenAI's: bicubic to the short side, a crop of the centre, their means; their words.
    transform = open_clip.image_transform(config["vision_cfg"]["image_size"], is_train=False)
    tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    return model, transform, tokenizer


def _read(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise WeightsMismatch(
            f"{path}: not a plain file of tensors (OpenAI's own files hold code; name the model instead, and give "
            "--clip_pretrained=openai)."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise WeightsMismatch(f"{path}: not a plain file of tensors.")
    return dict(weights)


def _config_of(path: Path, weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    try:
        width, _, patch_size, _ = weights["visual.conv1.weight"].shape
        grid = round((len(weights["visual.positional_embedding"]) - 1) ** 0.5)
        text_width = len(weights["ln_final.weight"])
        return {
            "embed_dim": weights["text_projection"].shape[1],
            "vision_cfg": {
                "layers": _count(weights, "visual.transformer.resblocks."),
                "width": width,
                "head_width": _HEAD_SIZE,
                "patch_size": patch_size,
                "image_size": patch_size * grid,
            },
            "text_cfg": {
                "context_length": len(weights["positional_embedding"]),
                "vocab_size": len(weights["token_embedding.weight"]),
                "width": text_width,
                "heads": text_width // _HEAD_SIZE,
                "layers": _count(weights, "transformer.resblocks."),
            },
        }
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsMismatch(f"{path}: not the weights of a CLIP ViT in OpenAI's layout ({error}).") from error


def _count(weights: dict[str, torch.Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})


def _join_positions(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """One table of positions from LongCLIP's two."""
    import torch

    stretched = weights.pop("positional_embedding_res", None)
    if stretched is None:
        return
    kept = weights["positional_embedding"]
    if stretched.shape != kept.shape or len(kept) <= _KEPT_POSITIONS:
        raise WeightsMismatch(
            f"{path}: the two tables of positions, {list(kept.shape)} and {list(stretched.shape)}, do not fit together."
        )
    weights["positional_embedding"] = torch.cat([kept[:_KEPT_POSITIONS], stretched[_KEPT_POSITIONS:]])
