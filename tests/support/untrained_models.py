"""Tiny models with random weights, saved as real checkpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from beam_recap.demo import tiny_models as tiny

NEW_TOKENS = 24  # the LLaVA ends some of its texts before this limit and some not


def save_untrained_llava(folder: Path) -> None:
    """A LLaVA that writes other nonsense about other pictures, some of it short, some of it without an end."""
    torch.manual_seed(3)
    model, processor = tiny.build_llava()
    tokenizer = processor.tokenizer
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)  # as it is initialised, every picture gives the same text
        words = model.get_input_embeddings().weight
        for token in tokenizer.added_tokens_decoder:
            words[token].zero_()  # never the likeliest
        words[tokenizer.eos_token_id] = words[100] * 1.5
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def save_untrained_clip(folder: Path) -> None:
    """An open_clip model with random weights."""
    torch.manual_seed(4)
    tokenizer = tiny.make_clip_tokenizer()
    model, config = tiny.build_clip(tokenizer)
    tiny.save_clip(folder, model, config, tokenizer)


def noise_images(count: int, seed: int = 0) -> list[np.ndarray]:
    """Coloured blocks of several sizes and shapes: uint8 ``[H, W, 3]``."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        blocks = rng.integers(0, 256, (rng.integers(1, 5), rng.integers(1, 5), 3), dtype=np.uint8)
        images.append(np.kron(blocks, np.ones((23, 23, 1), np.uint8)))
    return images


def copy_with_weights(
    folder: Path, target: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]
) -> str:
    """A copy of a model folder with the tensors of its file ``name`` changed."""
    shutil.copytree(folder, target)
    state = load_file(target / name)
    change(state)
    save_file(state, target / name, metadata={"format": "pt"})
    return str(target)


def edit_json(path: Path, **values: Any) -> None:
    """Sets entries of a JSON object."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
