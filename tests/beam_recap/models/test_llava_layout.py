from __future__ import annotations

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlavaConfig

from beam_recap.models import llava_layout
from beam_recap.models.llava_layout import OriginalSettings
from beam_recap.models.llava_plan import _expected_shapes


def test_the_published_sizes() -> None:
    """OpenAI's towers, and the seed's captioner: LLaMA-3-8B with CLIP-L/14 at 336 px, as llava-hf's files count it."""
    parameters = {}
    for name, sizes in llava_layout.OPENAI_TOWERS.items():
        with torch.device("meta"):
            model = CLIPVisionModel(CLIPVisionConfig(**sizes))
        parameters[name] = round(sum(p.numel() for p in model.parameters()) / 1e6, 1)
    assert parameters == {
        "clip-vit-base-patch32": 87.5,
        "clip-vit-base-patch16": 85.8,
        "clip-vit-large-patch14": 303.2,
        "clip-vit-large-patch14-336": 303.5,
    }
    text = LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8,
    )  # fmt: skip
    vision = CLIPVisionConfig(**llava_layout.OPENAI_TOWERS["clip-vit-large-patch14-336"])
    shapes = _expected_shapes(LlavaConfig(text_config=text, vision_config=vision))
    assert len(shapes) == 291 + 391 + 4  # LLaMA-3-8B, CLIP, projector: as llava-1.5-7b-hf, 686
    parameters_of_all = 8_030_261_248 + 303_507_456 + (1024 + 1) * 4096 + (4096 + 1) * 4096
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == parameters_of_all


def test_settings_from_a_plain_config() -> None:
    sizes = {"vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    raw = {**sizes, "num_attention_heads": 1, "model_type": "llava", "mm_vision_select_layer": -2}
    settings = OriginalSettings.of({**raw, "mm_vision_tower": "a/b/", "head_dim": None, "eos_token_id": [3, None, 4]})
    assert settings.text == {**sizes, "num_attention_heads": 1}
    assert (settings.projector, settings.feature_strategy, settings.pads_to_square) == ("linear", "default", False)
    assert (settings.tower_name, settings.end_ids) == ("b", (3, 4))
