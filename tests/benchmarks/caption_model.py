"""What the captioner's benchmark runs: a LLaVA of a true shape with random weights, pictures, and caption lengths."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

# Lengths in the paper: a mean of 49.43 words, which is about 62 tokens, and a cut at 128 (Recap-DataComp-1B,
# sections 3.2 and 4.1). Their spread is not published; a gamma distribution with this one stands in for it.
MEAN_TOKENS, SPREAD_TOKENS, MAX_TOKENS = 62, 20, 128

TEXT_TOKENS = 29  # of the prompt, around the picture
IMAGE_TOKEN, END_TOKEN = 1, 2
PICTURES = 64  # different ones, again and again: what they show does not change the work


@dataclass(frozen=True)
class Shape:
    """Sizes of a LLaVA. The vision tower is a CLIP ViT, of which all but the last layer are used."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    image_size: int
    patch_size: int
    vision_hidden: int
    vision_layers: int
    vision_heads: int

    @property
    def image_tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    @property
    def prompt_tokens(self) -> int:
        return self.image_tokens + TEXT_TOKENS

    @property
    def block_parameters(self) -> int:
        """Of the language model's layers, in matrix products."""
        head = self.hidden // self.heads
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * head
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def cache_numbers(self) -> int:
        """Keys and values of one token."""
        return 2 * self.layers * self.kv_heads * (self.hidden // self.heads)

    def operations(self, new_tokens: float) -> float:
        """Floating-point operations for one picture: two per weight and token, and attention's products."""
        prompt, tokens = self.prompt_tokens, self.image_tokens + 1
        vision_layer = 12 * self.vision_hidden**2 * 2 * tokens + 4 * self.vision_hidden * tokens**2
        vision = (self.vision_layers - 1) * vision_layer
        projector = 2 * self.image_tokens * (self.vision_hidden * self.hidden + self.hidden**2)
        prefill = 2 * self.block_parameters * prompt + self.layers * 2 * self.hidden * prompt**2
        step = 2 * (self.block_parameters + self.hidden * self.vocabulary) + self.layers * 4 * self.hidden * (
            prompt + new_tokens / 2
        )
        return vision + projector + prefill + new_tokens * step

    @property
    def weight_numbers(self) -> int:
        """What one decoding step reads of the weights."""
        return self.block_parameters + self.hidden * self.vocabulary

    def cache_read(self, new_tokens: float) -> float:
        """Keys and values that one decoding step reads for one caption, on average over it."""
        return self.cache_numbers * (self.prompt_tokens + new_tokens / 2)


# LLaMA-3-8B with CLIP ViT-L/14 at 336 px, as LLaVA-1.5-LLaMA3-8B.
LLAVA_8B = Shape(4096, 32, 32, 8, 14336, 128320, 336, 14, 1024, 24, 16)
# The shape of the model that ships with the project.
TINY = Shape(128, 4, 4, 2, 384, 706, 60, 10, 128, 4, 4)


def make_model(shape: Shape, device: torch.device, dtype: torch.dtype, seed: int) -> Any:
    """A model with random weights, made on its device."""
    from transformers import CLIPVisionConfig, GenerationConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=shape.vision_hidden,
            intermediate_size=4 * shape.vision_hidden,
            num_hidden_layers=shape.vision_layers,
            num_attention_heads=shape.vision_heads,
            image_size=shape.image_size,
            patch_size=shape.patch_size,
        ),
        text_config=LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=8192,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        ),
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = LlavaForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=END_TOKEN, pad_token_id=0)
    return model.eval().requires_grad_(False)


def make_prompt(shape: Shape, seed: int) -> list[int]:
    """A prompt of the true length, with the picture after some words."""
    rng = random.Random(seed)
    words = [rng.randrange(3, shape.vocabulary) for _ in range(TEXT_TOKENS)]
    return words[:5] + [IMAGE_TOKEN] * shape.image_tokens + words[5:]


def make_pixels(shape: Shape, count: int, seed: int) -> torch.Tensor:
    """Pictures as an image processor gives them: float32 ``[count, 3, S, S]``."""
    generator = torch.Generator().manual_seed(seed)
    some = torch.randn(min(count, PICTURES), 3, shape.image_size, shape.image_size, generator=generator)
    return some[torch.arange(count) % len(some)]


def draw_lengths(count: int, seed: int) -> list[int]:
    """Tokens of captions, 1 to `MAX_TOKENS`; those at the maximum are cut."""
    rng = random.Random(seed)
    shape = (MEAN_TOKENS / SPREAD_TOKENS) ** 2
    drawn = (round(rng.gammavariate(shape, MEAN_TOKENS / shape)) for _ in range(count))
    return [min(MAX_TOKENS, max(1, length)) for length in drawn]
