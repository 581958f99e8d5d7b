"""A LLaMA that reads and writes keys and values in pools of fixed shape, so that one CUDA graph can hold a step.

The same arithmetic as transformers' ``LlamaModel``, with three differences that make it quicker and no answer another:
projections of the same input are one matrix product, the norm is one kernel, and the last layer looks only at the
positions whose output is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from beam_recap.models.slots.float8 import Float8Linear

# Language models with this arithmetic. A sliding window (Mistral's) must not be shorter than a whole sequence.
SUPPORTED = frozenset({"llama", "mistral"})

_ALIGNMENT = 16  # positions: attention with a mask is quicker when rows of the mask begin at multiples of 16 bytes


class UnsupportedModel(ValueError):
    """The language model is of another kind than this decoder knows."""


class KeyValuePools:
    """Keys and values of all layers: ``[slots, kv_heads, length, head_size]`` each.

    Args:
      layers: how many.
      slots: sequences at once.
      heads: of keys and values.
      length: positions of a sequence.
      head_size: numbers per head and position.
    """

    def __init__(
        self, layers: int, slots: int, heads: int, length: int, head_size: int, *, dtype: torch.dtype, device: Any
    ) -> None:
        shape = (layers, slots, heads, length, head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.slots, self.length = slots, length

    def clear(self, slots: torch.Tensor) -> None:
        """Zeros in some slots ``[N]``, int64.

        A masked position weighs nothing, but nothing times the infinity that a slot's last sequence may have left is
        not a number.
        """
        self.keys[:, slots] = 0
        self.values[:, slots] = 0


class LlamaDecoder:
    """A causal language model's layers, taken over from a transformers model.

    The weights are shared with that model where they can be; those that are joined are moved here, one layer at a time,
    and the model that they came from can no longer be run.

    Args:
      language_model: transformers' ``LlamaModel`` (or Mistral's).
      head: the output layer, hidden size to vocabulary.
      length: the longest sequence, in positions.
      float8: the layers' matrix products are done in 8 bits; embedding, norms, attention and head stay as they are.

    Raises:
      UnsupportedModel: another kind of model, or one whose context is shorter than `length`.
      UnsupportedFloat8: see `Float8Linear`.
    """

    def __init__(self, language_model: Any, head: nn.Linear, length: int, *, float8: bool = False) -> None:
        check_supported(language_model.config, length)
        config = language_model.config
        self.length = _aligned(length)
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.head_size = _head_size(config)
        self.embedding: nn.Embedding = language_model.embed_tokens
        self.head = head
        self.norm = language_model.norm
        self.dtype, self.device = head.weight.dtype, head.weight.device
        positions = torch.arange(self.length, device=self.device)[None]
        cos, sin = language_model.rotary_emb(torch.empty(0, dtype=self.dtype, device=self.device), positions)
        self._cos, self._sin = cos[0], sin[0]  # [length, head_size]
        self._layers = [_Layer(layer, self, float8) for layer in language_model.layers]

    def new_pools(self, slots: int) -> KeyValuePools:
        """Room for so many sequences."""
        return KeyValuePools(
            len(self._layers), slots, self.kv_heads, self.length, self.head_size, dtype=self.dtype, device=self.device
        )

    def prefill(
        self, embeddings: torch.Tensor, last: torch.Tensor, slots: torch.Tensor, pools: KeyValuePools
    ) -> torch.Tensor:
        """Reads whole prompts into slots.

        Args:
          embeddings: ``[N, P, hidden]``. Shorter prompts are filled up behind their end: what stands there changes
            nothing before it, and is overwritten as the answer grows.
          last: ``[N]``, int64, the position of each prompt's last token.
          slots: ``[N]``, int64.
          pools: where keys and values go.

        Returns:
          Logits of each prompt's next token ``[N, vocabulary]``.
        """
        hidden = embeddings
        cos, sin = self._cos[: hidden.shape[1]], self._sin[: hidden.shape[1]]  # [P, D]
        for number, layer in enumerate(self._layers):
            is_last = number == len(self._layers) - 1
            hidden = layer.prefill(
                hidden, cos, sin, pools.keys[number], pools.values[number], slots, last if is_last else None
            )
        return self._logits(hidden)

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, pools: KeyValuePools, reach: int | None = None
    ) -> torch.Tensor:
        """Reads one more token in each slot.

        Args:
          tokens: ``[slots]``, int64.
          positions: ``[slots]``, int64: where each token stands in its sequence.
          pools: read, and written at `positions`.
          reach: above the largest position that matters; what lies beyond is not read. None: everything is.

        Returns:
          Logits of the next tokens ``[slots, vocabulary]``.
        """
        hidden = self.embedding(tokens)
        cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]  # [S, 1, D]
        reach = pools.length if reach is None else min(_aligned(reach), pools.length)
        seen = torch.arange(reach, device=self.device) <= positions[:, None]
        mask = torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill_(~seen, -torch.inf)
        mask = mask[:, None, None]  # [S, 1, 1, reach]
        rows = torch.arange(pools.slots, device=self.device)
        for number, layer in enumerate(self._layers):
            hidden = layer.step(hidden, cos, sin, pools.keys[number], pools.values[number], rows, positions, mask)
        return self._logits(hidden)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.head(_normalise(hidden, self.norm))


class _Layer:
    """One decoder layer. It takes the projections' weights out of the transformers layer that it is made of."""

    def __init__(self, layer: Any, decoder: LlamaDecoder, float8: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._heads, self._kv_heads, self._head_size = decoder.heads, decoder.kv_heads, decoder.head_size
        self._scale = float(attention.scaling)
        self._norm_1, self._norm_2 = layer.input_layernorm, layer.post_attention_layernorm
        # One after the other, so that no more than one weight is in memory twice.
        self._qkv = _join(float8, attention, "q_proj", "k_proj", "v_proj")
        self._out = _join(float8, attention, "o_proj")
        self._gate_up = _join(float8, mlp, "gate_proj", "up_proj")
        self._down = _join(float8, mlp, "down_proj")
        self._act = mlp.act_fn

    def prefill(
        self,
        hidden: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        slots: torch.Tensor,
        only: torch.Tensor | None,
    ) -> torch.Tensor:
        """``[N, P, hidden]`` to the same, or to ``[N, hidden]`` at the positions `only` ``[N]``."""
        length = hidden.shape[1]
        q, k, v = (
            part.transpose(1, 2) for part in self._project(hidden, cos[:, None], sin[:, None])
        )  # [N, heads, P, D]
        keys[slots, :, :length] = k
        values[slots, :, :length] = v
        if only is None:
            attended = self._attend(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            return self._finish(hidden, attended)
        rows = torch.arange(len(only), device=only.device)
        seen = (torch.arange(length, device=only.device) <= only[:, None])[:, None, None]
        attended = self._attend(q[rows, :, only][:, :, None], k, v, mask=seen).transpose(1, 2).flatten(2)
        return self._finish(hidden[rows, only][:, None], attended)[:, 0]

    def step(
        self,
        hidden: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        rows: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """``[S, hidden]`` to the same."""
        q, k, v = self._project(hidden, cos, sin)  # [S, heads, D]
        keys[rows, :, positions] = k
        values[rows, :, positions] = v
        # The query heads that share a head of keys stand in the place of positions: the pool is read once for all.
        q = q.reshape(len(rows), self._kv_heads, -1, self._head_size)
        reach = mask.shape[-1]
        attended = functional.scaled_dot_product_attention(
            q, keys[:, :, :reach], values[:, :, :reach], attn_mask=mask, scale=self._scale
        )
        return self._finish(hidden, attended.reshape(len(rows), -1))

    def _project(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values ``[..., heads, D]``, the first two rotated to their positions."""
        joint = self._qkv(_normalise(hidden, self._norm_1)).unflatten(-1, (-1, self._head_size))
        turned, v = joint.split([self._heads + self._kv_heads, self._kv_heads], dim=-2)
        q, k = _rotate(turned, cos, sin).split([self._heads, self._kv_heads], dim=-2)
        return q, k, v

    def _attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=is_causal, scale=self._scale, enable_gqa=self._heads != self._kv_heads
        )

    def _finish(self, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        hidden = hidden + self._out(attended)
        gate, up = self._gate_up(_normalise(hidden, self._norm_2)).chunk(2, dim=-1)
        return hidden + self._down(self._act(gate) * up)


def check_supported(config: Any, length: int) -> None:
    """Raises UnsupportedModel if a language model's config is not one that `LlamaDecoder` can run at this length."""
    kind = config.model_type
    if kind not in SUPPORTED:
        raise UnsupportedModel(f"its language model is a {kind}, not one of {', '.join(sorted(SUPPORTED))}")
    window = getattr(config, "sliding_window", None)
    for limit, name in ((config.max_position_embeddings, "context"), (window, "sliding window")):
        if limit is not None and limit < length:
            raise UnsupportedModel(f"its {name} of {limit} tokens is shorter than the {length} of prompt and caption")


def slot_bytes(config: Any, length: int, dtype: torch.dtype) -> int:
    """Memory that one slot takes: keys and values of all layers."""
    numbers = config.num_hidden_layers * config.num_key_value_heads * _aligned(length) * _head_size(config)
    return 2 * numbers * dtype.itemsize


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _head_size(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _normalise(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding, in the arithmetic of transformers."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _join(float8: bool, parent: Any, *names: str) -> nn.Module:
    """Projections of the same input as one; they are taken from their parent."""
    parts: list[nn.Linear] = [getattr(parent, name) for name in names]
    for name in names:
        setattr(parent, name, None)
    joint = parts[0] if len(parts) == 1 else _joined(parts)
    return Float8Linear(joint) if float8 else joint


def _joined(parts: list[nn.Linear]) -> nn.Linear:
    weight = torch.cat([part.weight.detach() for part in parts])
    joint = nn.Linear(weight.shape[1], weight.shape[0], bias=parts[0].bias is not None, device="meta")
    joint.weight = nn.Parameter(weight, requires_grad=False)
    if parts[0].bias is not None:
        joint.bias = nn.Parameter(torch.cat([part.bias.detach() for part in parts]), requires_grad=False)
    return joint
