"""The roofline, against figures worked out by hand elsewhere."""

from __future__ import annotations

import json

import pytest

from beam_recap.demo import paths
from beam_recap.plan.captioner_speed import (
    GPUS,
    LLAVA_LLAMA3_8B,
    ModelSize,
    bound,
    estimated_rate,
    fitting_batch,
    model_size,
)

BATCHES = (8, 32, 64, 128, 256, 512, 1024)


@pytest.mark.parametrize(
    ("operations", "bandwidth", "tokens", "at_most", "by_batch"),
    [
        (788e12, 0.85 * 4.8e12, 62, 78, (24, 50, 61, 68, 73, 75, 76)),  # H200, as matrix products were measured there
        (788e12, 0.85 * 4.8e12, 128, 71, (14, 34, 46, 55, 62, 65, 67)),
        (990e12, 4.8e12, 62, 98, (29, 61, 75, 84, 90, 93, 95)),  # H200, by its datasheet
        (312e12, 2.04e12, 62, 31, (11, 22, 26, 28, 30, 31)),  # A100 80 GB
        (121e12, 0.3e12, 62, 12, (2.1, 5.3)),  # L4
    ],
)
def test_bounds(
    operations: float, bandwidth: float, tokens: float, at_most: float, by_batch: tuple[float, ...]
) -> None:
    assert bound(LLAVA_LLAMA3_8B, operations, bandwidth, tokens, None) == pytest.approx(at_most, abs=0.52)
    for batch, captions in zip(BATCHES, by_batch, strict=False):
        assert bound(LLAVA_LLAMA3_8B, operations, bandwidth, tokens, batch) == pytest.approx(
            captions, abs=0.52 if captions > 10 else 0.05
        )


@pytest.mark.parametrize(
    ("gpu", "batch", "captions"),
    [
        *(("nvidia-h200-141gb", 16, 27), ("nvidia-h200-141gb", 64, 42), ("nvidia-h200-141gb", 256, 49)),
        *(("nvidia-a100-80gb", 64, 14.5), ("nvidia-a100-80gb", 256, 16.2)),
        *(("nvidia-l4", 8, 1.5), ("nvidia-l4", 32, 3.2)),
    ],
)
def test_estimates(gpu: str, batch: int, captions: float) -> None:
    assert estimated_rate(LLAVA_LLAMA3_8B, GPUS[gpu], 62, batch=batch) == pytest.approx(captions, rel=0.04)


def test_operations_of_a_caption() -> None:
    size = LLAVA_LLAMA3_8B
    assert size.vision_operations == pytest.approx(0.39e12)
    assert size.prefill_operations(620) == pytest.approx(8.76e12, rel=0.01)
    for tokens, operations in ((62, 0.95e12), (96, 1.47e12), (128, 1.97e12)):
        assert tokens * size.token_operations(620 + tokens / 2) == pytest.approx(operations, rel=0.01)
    assert size.key_value_bytes == 131_072


def test_an_estimate_is_below_the_bound_and_longer_captions_are_slower() -> None:
    for gpu in GPUS.values():
        rate = estimated_rate(LLAVA_LLAMA3_8B, gpu, 62)
        assert rate is not None
        assert rate < bound(LLAVA_LLAMA3_8B, gpu.peak, gpu.bandwidth, 62, gpu.batch)
        assert rate > (estimated_rate(LLAVA_LLAMA3_8B, gpu, 124) or 0)


def test_what_fits_a_gpu() -> None:
    assert fitting_batch(LLAVA_LLAMA3_8B, GPUS["nvidia-l4"], 128) == 16
    large = ModelSize(80, 8192, 1024, 68e9, 1.05e9, 390e9)  # 70 B
    assert fitting_batch(large, GPUS["nvidia-a100-80gb"], 128) == 0
    assert estimated_rate(large, GPUS["nvidia-a100-80gb"], 62) is None


def test_sizes_from_a_config() -> None:
    text = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32}
    llama = {**text, "num_key_value_heads": 8, "vocab_size": 128256}
    vision = {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096, "image_size": 336}
    config = {"model_type": "llava", "text_config": llama, "vision_config": {**vision, "patch_size": 14}}
    found = model_size(config)
    assert found is not None
    assert found.vision_operations == pytest.approx(366e9 + 24e9, rel=0.01)
    assert found.block_parameters == pytest.approx(LLAVA_LLAMA3_8B.block_parameters, rel=0.001)
    assert found.head_parameters == pytest.approx(LLAVA_LLAMA3_8B.head_parameters, rel=0.001)
    assert found.key_value_bytes == LLAVA_LLAMA3_8B.key_value_bytes
    # Vicuna has as many heads of keys as of queries.
    vicuna = model_size(
        {"model_type": "llava", "text_config": {**text, "intermediate_size": 11008, "vocab_size": 32064}}
    )
    assert vicuna is not None
    assert vicuna.key_value_bytes == 4 * LLAVA_LLAMA3_8B.key_value_bytes
    demo = model_size(json.loads((paths.CAPTIONER / "config.json").read_text()))
    assert demo is not None
    assert demo.block_parameters < 3e6
    assert demo.vision_operations < 1e9


@pytest.mark.parametrize(
    "config",
    [{}, {"model_type": "llava"}, {"model_type": "llava", "text_config": {"hidden_size": "4096"}}, {"model_type": "x"}],
)
def test_sizes_of_anything_else_are_unknown(config: dict[str, object]) -> None:
    assert model_size(config) is None
