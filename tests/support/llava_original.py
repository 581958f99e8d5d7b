"""Tiny checkpoints in the original LLaVA layout, made from Hugging Face's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from support.untrained_models import edit_json

from beam_recap.demo import tiny_models as tiny

State = dict[str, torch.Tensor]
TOWER = "model.vision_tower.vision_tower.vision_model."
# What LLaVA's training writes beside the sizes of its LLaMA.
SETTINGS = {
    "architectures": ["LlavaLlamaForCausalLM"],
    "model_type": "llava_llama",
    "freeze_mm_mlp_adapter": False,
    "image_aspect_ratio": "pad",
    "mm_hidden_size": tiny.WIDTH,
    "mm_patch_merge_type": "flat",
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "tokenizer_model_max_length": 2048,
    "use_mm_proj": True,
}
# What the tiny model says where an OpenAI tower would be: another name, so that its own sizes count.
TINY_TOWER = "someone/tiny-clip"


def original_state(model: Any, *, with_tower: bool) -> State:
    """The tensors of a ``LlavaForConditionalGeneration`` under the original's names."""
    state: State = {}
    for name, value in model.state_dict().items():
        for ours, theirs in (
            ("model.vision_tower.", TOWER),
            ("model.multi_modal_projector.linear_1.", "model.mm_projector.0."),
            ("model.multi_modal_projector.linear_2.", "model.mm_projector.2."),
            ("model.language_model.", "model."),
        ):
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours).removeprefix("vision_model.")
                break
        if with_tower or not name.startswith(TOWER):
            state[name] = value.clone()
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    return state


def write_original(
    folder: Path, model: Any, tokenizer: Any, *, layout: str = "safetensors", shards: int = 1, with_tower: bool = True
) -> Path:
    """A checkpoint as LLaVA's training saves it; ``layout`` is ``"safetensors"`` or ``"bin"``."""
    folder.mkdir(parents=True)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    text = model.config.text_config.to_dict()
    rope = text.pop("rope_parameters")
    text |= {"rope_theta": rope["rope_theta"], "rope_scaling": None}  # as transformers 4 wrote them
    for name in ("dtype", "use_cache", "transformers_version"):
        text.pop(name, None)
    config = {**text, **SETTINGS, "mm_vision_tower": TINY_TOWER, "torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    write_weights(folder, original_state(model, with_tower=with_tower), layout=layout, shards=shards)
    return folder


def write_weights(folder: Path, state: State, *, layout: str = "safetensors", shards: int = 1) -> None:
    """``state`` in one file, or in shards with their index."""
    stem, suffix = {"safetensors": ("model", "safetensors"), "bin": ("pytorch_model", "bin")}[layout]
    names = list(state)
    weight_map = {}
    for number in range(shards):
        file = f"{stem}.{suffix}" if shards == 1 else f"{stem}-{number + 1:05d}-of-{shards:05d}.{suffix}"
        part = {name: state[name] for name in names[number::shards]}
        if layout == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def write_tower(folder: Path, model: Any, *, kind: str = "CLIPModel", preprocessor: bool = True) -> Path:
    """The model's vision tower as a folder of its own: a whole ``"CLIPModel"``, or a ``"CLIPVisionModel"``."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionModel

    vision = model.config.vision_config
    tower = {name.removeprefix("vision_model."): t for name, t in model.model.vision_tower.state_dict().items()}
    if kind == "CLIPModel":
        text = CLIPTextConfig(
            vocab_size=99, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
        clip = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16))
        half = clip.vision_model
    else:
        half = clip = CLIPVisionModel(vision)
    own = {name: name.removeprefix("vision_model.") for name in half.state_dict()}
    half.load_state_dict({name: tower[plain] for name, plain in own.items()})
    clip.to(next(model.parameters()).dtype).save_pretrained(folder)
    if preprocessor:
        side = vision.image_size
        values = {"size": side, "crop_size": side, "image_mean": list(tiny.PIXEL_MEAN), "image_std": [0.3, 0.25, 0.25]}
        (folder / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "CLIP", **values}))
    return folder


def without_tokens(folder: Path, names: Iterable[str]) -> None:
    """Renames special tokens of a saved tokenizer to ones without a meaning; their ids stay."""
    text = (folder / "tokenizer.json").read_text()
    for number, name in enumerate(names):
        text = text.replace(json.dumps(name), json.dumps(f"<|reserved_{number}|>"))
    (folder / "tokenizer.json").write_text(text)
    path = folder / "tokenizer_config.json"
    kept = {key: value for key, value in json.loads(path.read_text()).items() if value not in tuple(names)}
    path.write_text(json.dumps(kept))


def edit_original(folder: Path, change: Callable[[State], object] | None = None, **config: Any) -> None:
    """Changes the tensors of a folder with one safetensors file, and entries of its config; None deletes an entry."""
    from safetensors.torch import load_file

    if change is not None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    edit_json(folder / "config.json", **config)
