"""How fast a GPU can caption: a roofline of LLaVA-1.5 from its sizes, for GPUs that nobody has measured.

One caption takes ``vision + prefill`` operations at the GPU's rate, then one decode step for each new token. A step of
a batch reads all weights once and every caption's keys and values, or does its operations, whichever takes longer::

    seconds = (vision + prefill) / F + T * max((W / B + K) / M, d / F)

with ``F`` operations/s, ``M`` bytes/s, ``T`` new tokens, ``B`` captions at once, ``W`` bytes of weights, ``K`` bytes of
a caption's keys and values half-way through it, ``d`` operations of a token. Matrix products take two operations per
weight and token; attention adds ``4 * hidden * context`` per layer and token (half of it in the prefill, which is
causal). With datasheet figures this is a bound (`bound`); with what matrix products reach in practice, an estimate
(`estimated_rate`).

87 % of the operations are the prefill of the picture's 576 tokens: the work is bound by operations, unlike chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PICTURE_TOKENS = 576  # of CLIP ViT-L/14 at 336 px
PROMPT_TOKENS = 620  # the picture's, the question's and the chat's; as `beam_recap.prompts` asks
# Mean words of Recap-DataComp-1B's captions are 49.43 (arXiv 2406.08478, section 4.1), at 0.8 words a token.
CAPTION_TOKENS = 62.0
_VALUE_BYTES = 2  # bfloat16
# Of the roofline's parts, what a good implementation reaches: the share of the rate of large matrix products that a
# prefill has, the share of the datasheet's memory bandwidth, a decode step's seconds that are neither, and the share of
# the slots that work.
_PREFILL_SHARE = 0.65
_BANDWIDTH_SHARE = 0.85
_STEP_OVERHEAD_S = 0.6e-3
_OCCUPANCY = 0.97
_USABLE_MEMORY = 0.9  # of a GPU's; the rest is the driver's and what is computed in between
_RESERVED_GB = 1.0
# An estimate is taken to be right within this factor, up and down. The published 9.3 images/s on an A100 (LLaVA-1.5-7B,
# vLLM of 2024, longer captions and four times the keys and values) lie at 0.6 times ours, so it is no tight one.
UNCERTAINTY = 1.4


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The sizes of a LLaVA-1.5 that its speed depends on."""

    layers: int
    hidden: int
    key_value_width: int  # heads of keys times their width
    block_parameters: float  # in all layers together
    head_parameters: float  # the output's
    vision_operations: float  # of the tower and the projector, per picture

    @property
    def weight_bytes(self) -> float:
        """What a decode step reads: the embedding is only looked up."""
        return _VALUE_BYTES * (self.block_parameters + self.head_parameters)

    @property
    def memory_bytes(self) -> float:
        """All weights, the embedding and the vision tower (0.3 B parameters) included."""
        return _VALUE_BYTES * (self.block_parameters + 2 * self.head_parameters + 0.33e9)

    @property
    def key_value_bytes(self) -> float:
        """Of one token's keys and values."""
        return 2 * _VALUE_BYTES * self.key_value_width * self.layers

    def prefill_operations(self, prompt: int) -> float:
        """Of a prompt of so many tokens."""
        return 2 * self.block_parameters * prompt + 2 * self.hidden * prompt**2 * self.layers

    def token_operations(self, context: float) -> float:
        """Of one new token behind so many."""
        parameters = self.block_parameters + self.head_parameters
        return 2 * parameters + 4 * self.hidden * context * self.layers


# LLaMA-3-8B: 6.979 B parameters in 32 blocks, 0.525 B in the head; 8 heads of keys and values of width 128. The tower
# is CLIP ViT-L/14 at 336 px, 23 of whose 24 layers are used: 366 GFLOP; the projector 24.
LLAVA_LLAMA3_8B = ModelSize(32, 4096, 1024, 6.979e9, 0.525e9, 390e9)


def _vision_operations(config: Mapping[str, Any], hidden: int) -> float:
    """Of a CLIP tower's layers but the last, and of the projector; ViT-L/14's at 336 px where sizes are missing."""
    vision = config.get("vision_config")
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size")
    values = [vision.get(name) for name in names] if isinstance(vision, Mapping) else []
    if not values or not all(isinstance(value, int) and 0 < value < 10**6 for value in values):
        return LLAVA_LLAMA3_8B.vision_operations
    width, inner, layers, side, patch = values
    patches = (side // patch) ** 2
    layer = 2 * (4 * width**2 + 2 * width * inner) * (patches + 1) + 4 * width * (patches + 1) ** 2
    return (layers - 1) * layer + 2 * patches * (width * hidden + hidden**2)


def model_size(config: Mapping[str, Any]) -> ModelSize | None:
    """The sizes in a checkpoint's ``config.json``; None if it is no LLaVA with a LLaMA or Mistral."""
    text = config.get("text_config")
    names = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    if config.get("model_type") != "llava" or not isinstance(text, Mapping):
        return None
    values = [text.get(name) for name in names]
    if not all(isinstance(value, int) and 0 < value < 10**7 for value in values):
        return None
    layers, hidden, inner, heads, words = (int(value) for value in values)  # type: ignore[call-overload]
    key_heads = text.get("num_key_value_heads", heads)
    width = text.get("head_dim") or hidden // heads
    if not isinstance(key_heads, int) or not isinstance(width, int):
        return None
    attention = 2 * hidden * heads * width + 2 * hidden * key_heads * width
    return ModelSize(
        layers,
        hidden,
        key_heads * width,
        layers * (attention + 3 * hidden * inner),
        hidden * words,
        _vision_operations(config, hidden),
    )


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU. Operations are of bfloat16, dense."""

    name: str
    peak: float  # operations/s by the datasheet
    product: float  # operations/s of large matrix products: 80 % of it on an H200, and so taken for others
    bandwidth: float  # bytes/s by the datasheet
    memory_gb: float
    batch: int  # captions at once, as the accelerator presets have it


# By Compute Engine's names. Sources: NVIDIA's datasheets. An L4 is bound by its 72 W long before its datasheet's rate.
GPUS = {
    "nvidia-l4": Gpu("L4", 121e12, 80e12, 0.300e12, 24, 16),
    "nvidia-tesla-a100": Gpu("A100 40 GB", 312e12, 250e12, 1.555e12, 40, 64),
    "nvidia-a100-80gb": Gpu("A100 80 GB", 312e12, 250e12, 2.039e12, 80, 128),
    "nvidia-h100-80gb": Gpu("H100", 989e12, 788e12, 3.35e12, 80, 128),
    "nvidia-h200-141gb": Gpu("H200", 990e12, 788e12, 4.8e12, 141, 256),
}


def bound(
    size: ModelSize, operations: float, bandwidth: float, tokens: float, batch: int | None, prompt: int = PROMPT_TOKENS
) -> float:
    """Captions/s that no implementation exceeds, at a rate of operations/s and of bytes/s; batch None: any number."""
    first = (size.vision_operations + size.prefill_operations(prompt)) / operations
    context = prompt + tokens / 2
    token = size.token_operations(context) / operations
    if batch is not None:
        token = max(token, (size.weight_bytes / batch + context * size.key_value_bytes) / bandwidth)
    return 1 / (first + tokens * token)


def fitting_batch(size: ModelSize, gpu: Gpu, tokens: int, prompt: int = PROMPT_TOKENS) -> int:
    """How many captions of at most so many tokens fit beside the weights, at most the preset's; 0: not even those."""
    free = _USABLE_MEMORY * gpu.memory_gb * 1e9 - size.memory_bytes - _RESERVED_GB * 1e9
    return max(0, min(gpu.batch, int(free / (size.key_value_bytes * (prompt + tokens)))))


def estimated_rate(
    size: ModelSize, gpu: Gpu, tokens: float, *, batch: int | None = None, max_tokens: int = 128
) -> float | None:
    """Captions/s of one GPU, with slots that are filled anew as captions end; None if the model does not fit.

    Args:
      size: the captioner's.
      gpu: which.
      tokens: the mean length of a caption.
      batch: captions at once; None: the preset's, if they fit.
      max_tokens: the longest caption.
    """
    batch = fitting_batch(size, gpu, max_tokens) if batch is None else batch
    if batch < 1:
        return None
    first = (size.vision_operations + size.prefill_operations(PROMPT_TOKENS)) / (_PREFILL_SHARE * gpu.product)
    context = PROMPT_TOKENS + tokens / 2
    read = (size.weight_bytes + batch * context * size.key_value_bytes) / (_BANDWIDTH_SHARE * gpu.bandwidth)
    step = max(read, batch * size.token_operations(context) / gpu.product) + _STEP_OVERHEAD_S
    return 1 / (first + tokens * step / (_OCCUPANCY * batch))
