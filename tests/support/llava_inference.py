"""The original LLaVA's way from a picture to a text, tiny models to hold it against, and pictures for them."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.llava_original import TINY_TOWER, TOWER
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from beam_recap.demo import paths
from beam_recap.demo.draw import draw_scene
from beam_recap.demo.scenes import random_scene
from beam_recap.models import llava_layout
from beam_recap.models.captioner import Captioner


def demo_model(dtype: torch.dtype = torch.float16) -> Any:
    """The trained tiny LLaVA of the demonstration."""
    return AutoModelForImageTextToText.from_pretrained(paths.CAPTIONER, dtype=dtype)


def demo_tokenizer() -> Any:
    """Its tokenizer, with LLaMA-3's special tokens and ``<image>``."""
    return AutoProcessor.from_pretrained(paths.CAPTIONER).tokenizer


@functools.cache
def demo_captions() -> list[Any]:
    """What it says about `pictures`."""
    return captions(paths.CAPTIONER)


def know_the_tiny_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the tiny tower be one whose shape is known by its name."""
    settings = json.loads((paths.CAPTIONER / "config.json").read_text())["vision_config"]
    sizes = {name: settings[name] for name in llava_layout.OPENAI_TOWERS["clip-vit-large-patch14-336"]}
    monkeypatch.setitem(llava_layout.OPENAI_TOWERS, TINY_TOWER.split("/")[1], sizes)


def pictures(count: int = 4) -> list[np.ndarray]:
    """Drawn scenes, wide, tall and square."""
    rng = random.Random(11)
    shapes = [1.0, 1.6, 0.7, 1.3]
    return [np.asarray(draw_scene(random_scene(rng), rng, side=160, aspect=shapes[i % 4])) for i in range(count)]


def captions(folder: Path, **settings: Any) -> list[Any]:
    """What a folder's captioner says about `pictures`."""
    found = Captioner.load(str(folder), device="cpu", **settings).caption(pictures())
    assert all(hasattr(caption, "text") for caption in found), found
    return found


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    """As transformers loads it, with nothing missing."""
    model, info = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.state_dict()


def vicuna_tokenizer() -> Any:
    """A LLaMA-2 tokenizer: ``<s>`` added before every text, ``</s>``, bytes for what it does not know, no padding."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁"]
    pieces += [chr(i) for i in range(ord("!"), ord("~") + 1)]
    merges = [("▁", letter) for letter in "abcdefghijklmnopqrstuvwxyz"] + [("i", "n"), ("o", "n"), ("e", "r")]
    pieces += ["".join(merge) for merge in merges]
    backend = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=2048
    )


def vicuna(tied: bool) -> tuple[Any, Any]:
    """An untrained LLaVA with Vicuna's kind of tokenizer, whose texts differ from picture to picture."""
    tokenizer = vicuna_tokenizer()
    torch.manual_seed(5)
    vision = AutoModelForImageTextToText.from_pretrained(paths.CAPTIONER).config.vision_config
    config = LlavaConfig(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=96, intermediate_size=160, num_hidden_layers=2,
            num_attention_heads=4, head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, tie_word_embeddings=tied,
        ),
        vision_config=vision, image_token_index=0, tie_word_embeddings=tied,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    return model, tokenizer


class OriginalLlava:
    """The original's inference on a folder: LLaMA and projector as saved, the tower between, nothing of our own."""

    def __init__(self, folder: Path, tower: Any, processor: Any):
        """Takes the folder (safetensors in one file), a CLIP vision tower, and a ``CLIPImageProcessor``."""
        from safetensors.torch import load_file
        from transformers import LlamaConfig, LlamaForCausalLM

        self._config = json.loads((folder / "config.json").read_text())
        state = load_file(folder / "model.safetensors")
        known = LlamaConfig().to_dict().keys() | {"rope_theta"}
        config = {k: v for k, v in self._config.items() if k in known - {"architectures", "model_type"}}
        self._llama = LlamaForCausalLM(LlamaConfig(**config)).eval()
        rest = self._llama.load_state_dict(
            {n: t.float() for n, t in state.items() if "mm_projector" not in n and not n.startswith(TOWER)},
            strict=False,
        )
        assert not rest.unexpected_keys and set(rest.missing_keys) <= {"lm_head.weight"}
        self._llama.tie_weights()
        width, inner = tower.config.hidden_size, self._config["hidden_size"]
        linear = self._config["mm_projector_type"] == "linear"
        layers = [torch.nn.Linear(width, inner)]
        if not linear:
            layers += [torch.nn.GELU(), torch.nn.Linear(inner, inner)]
        self._projector = torch.nn.Sequential(*layers)
        prefix = "model.mm_projector." if not linear else "model.mm_projector"
        weights = {n.removeprefix(prefix): t.float() for n, t in state.items() if n.startswith("model.mm_projector")}
        self._projector.load_state_dict({("0" + n if linear else n): t for n, t in weights.items()})
        self._tower, self._processor = tower.eval(), processor

    def ids(self, image: np.ndarray, before: list[int], after: list[int], ends: list[int], limit: int) -> list[int]:
        """New token ids, greedily, for a picture between two pieces of a prompt; without the end token."""
        picture = Image.fromarray(image)
        if self._config.get("image_aspect_ratio") == "pad":
            colour = tuple(int(mean * 255) for mean in self._processor.image_mean)
            square = Image.new("RGB", (max(picture.size),) * 2, colour)
            square.paste(picture, tuple((max(picture.size) - side) // 2 for side in picture.size))
            picture = square
        with torch.inference_mode():
            pixels = self._processor(picture, return_tensors="pt")["pixel_values"]
            hidden = self._tower(pixels, output_hidden_states=True).hidden_states
            features = hidden[self._config["mm_vision_select_layer"]]
            if self._config["mm_vision_select_feature"] == "patch":
                features = features[:, 1:]
            words = self._llama.get_input_embeddings()
            parts = [words(torch.tensor([before])), self._projector(features), words(torch.tensor([after]))]
            output = self._llama.generate(
                inputs_embeds=torch.cat(parts, dim=1),
                attention_mask=torch.ones(1, sum(part.shape[1] for part in parts), dtype=torch.long),
                do_sample=False,
                max_new_tokens=limit,
                eos_token_id=ends,
                pad_token_id=ends[0],
            )
        return [int(i) for i in output[0] if int(i) not in ends]
