from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config

from beam_recap.models.slots.decoder import LlamaDecoder, UnsupportedModel, check_supported, slot_bytes

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
MODELS = {
    "grouped_heads": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "all_heads": lambda: LlamaForCausalLM(LlamaConfig(**{**SIZES, "num_key_value_heads": 6})),
    "one_head": lambda: LlamaForCausalLM(LlamaConfig(**{**SIZES, "num_key_value_heads": 1})),
    "biases": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True)),
    "wide_heads": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=16)),
    "scaled_rope": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA_3_ROPE)),
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    "mistral_window": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=64)),
}


def make(name: str, length: int = 40) -> tuple[Any, LlamaDecoder]:
    torch.manual_seed(5)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # also biases and norms
    other = copy.deepcopy(model)
    return model, LlamaDecoder(other.model, other.lm_head, length)


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_equals_transformers(name: str) -> None:
    """Prompts of several lengths in slots out of order, then steps: the logits of one run over each whole sequence."""
    model, decoder = make(name)
    generator = torch.Generator().manual_seed(1)
    sequences = [torch.randint(0, 97, (length,), generator=generator) for length in (12, 7, 12, 9)]
    slots = torch.tensor([3, 0, 4, 1])
    pools = decoder.new_pools(5)
    last = torch.tensor([len(ids) - 1 for ids in sequences])
    filled = torch.stack([torch.cat([ids, ids[-1:].expand(12 - len(ids))]) for ids in sequences])
    logits = decoder.prefill(decoder.embedding(filled), last, slots, pools)
    tokens, positions = torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.int64)
    for _ in range(6):
        for row, ids in enumerate(sequences):
            torch.testing.assert_close(logits[row], model(ids[None]).logits[0, -1], rtol=1e-4, atol=1e-4)
        new = logits.argmax(-1)
        sequences = [torch.cat([ids, token[None]]) for ids, token in zip(sequences, new, strict=True)]
        tokens[slots], positions[slots] = new, torch.tensor([len(ids) - 1 for ids in sequences])
        whole = decoder.step(tokens, positions, pools)
        near = decoder.step(tokens, positions, pools, reach=1 + int(positions.max()))
        torch.testing.assert_close(near, whole, rtol=1e-4, atol=1e-4)
        logits = near[slots]


@torch.inference_mode()
def test_what_is_not_a_number_stays_in_its_slot() -> None:
    _, decoder = make("grouped_heads")
    pools = decoder.new_pools(3)
    embeddings = decoder.embedding(torch.arange(24).reshape(3, 8))
    last = torch.tensor([7, 7, 7])
    everyone = torch.arange(3)
    expected = decoder.prefill(embeddings, last, everyone, pools)
    tokens, positions = torch.tensor([1, 2, 3]), torch.tensor([8, 8, 8])
    expected_next = decoder.step(tokens, positions, pools)
    poisoned = embeddings.clone()
    poisoned[1] = torch.nan
    pools = decoder.new_pools(3)
    got = decoder.prefill(poisoned, last, everyone, pools)
    assert got.isfinite().all(-1).tolist() == [True, False, True]
    assert decoder.step(tokens, positions, pools).isfinite().all(-1).tolist() == [True, False, True]
    torch.testing.assert_close(got[[0, 2]], expected[[0, 2]])
    # The slot's next sequence is shorter than the poisoned one: what lies behind it must not come back.
    pools.clear(torch.tensor([1]))
    decoder.prefill(embeddings[1:2, :4], torch.tensor([3]), torch.tensor([1]), pools)
    positions[1] = 4
    again = decoder.step(tokens, positions, pools)
    assert again.isfinite().all()
    torch.testing.assert_close(again[[0, 2]], expected_next[[0, 2]])


def test_memory_of_a_slot() -> None:
    _, decoder = make("grouped_heads", length=33)
    pools = decoder.new_pools(7)
    config = LlamaConfig(**SIZES)
    assert decoder.length == 48
    assert pools.keys.nbytes + pools.values.nbytes == 7 * slot_bytes(config, 33, torch.float32)


@pytest.mark.parametrize(
    ("config", "length", "message"),
    [
        (Qwen2Config(), 10, "a qwen2, not one of llama, mistral"),
        (LlamaConfig(**SIZES), 65, "context of 64 tokens is shorter than the 65"),
        (MistralConfig(**SIZES, sliding_window=32), 33, "sliding window of 32 tokens is shorter than the 33"),
    ],
    ids=["kind", "context", "window"],
)
def test_other_models_are_refused(config: Any, length: int, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        check_supported(config, length)
    check_supported(LlamaConfig(**SIZES), 64)
    check_supported(MistralConfig(**SIZES, sliding_window=32), 32)
