"""What comes out of the converter: the same weights, settings and captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.llava_inference import (
    captions,
    demo_captions,
    demo_model,
    demo_tokenizer,
    know_the_tiny_tower,
    loaded,
)
from support.llava_original import (
    SETTINGS,
    edit_original,
    original_state,
    without_tokens,
    write_original,
    write_tower,
    write_weights,
)
from transformers import AutoModelForImageTextToText, AutoProcessor

from beam_recap.demo import paths
from beam_recap.models.llava_convert import convert
from beam_recap.prompts import RECAP_PROMPT


@pytest.fixture(scope="module")
def demo() -> Any:
    return demo_model()


@pytest.fixture
def tokenizer() -> Any:
    return demo_tokenizer()


@pytest.fixture
def known_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    know_the_tiny_tower(monkeypatch)


def same_weights(folder: Path, model: Any) -> None:
    written = loaded(folder)
    expected = model.state_dict()
    assert written.keys() == expected.keys()
    for name, value in expected.items():
        assert written[name].dtype == value.dtype and torch.equal(written[name], value), name


@pytest.mark.parametrize(
    ("layout", "shards", "dtype"),
    [("safetensors", 1, torch.float16), ("safetensors", 3, torch.bfloat16), ("bin", 1, torch.float16)],
)
def test_round_trip_with_the_tower_in_the_checkpoint(
    demo: Any, tokenizer: Any, known_tower: None, tmp_path: Path, layout: str, shards: int, dtype: torch.dtype
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(paths.CAPTIONER, dtype=dtype)
    original = write_original(tmp_path / "original", model, tokenizer, layout=layout, shards=shards)
    done = convert(original, tmp_path / "hf", shard_bytes=10**6)
    same_weights(tmp_path / "hf", model)
    model.save_pretrained(tmp_path / "reference")
    AutoProcessor.from_pretrained(paths.CAPTIONER).save_pretrained(tmp_path / "reference")
    assert captions(tmp_path / "hf") == captions(tmp_path / "reference")
    files = sorted((tmp_path / "hf").glob("model-*.safetensors"))
    assert len(files) == 4 and all(file.stat().st_size < 1.1e6 for file in files)
    index = json.loads((tmp_path / "hf" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == done.nbytes
    assert set(index["weight_map"].values()) == {file.name for file in files}
    assert (done.rows, done.tower, done.dtypes) == ((706, 706), "the checkpoint", (str(dtype).split(".")[1],))


@pytest.mark.parametrize(("kind", "layout", "shards"), [("CLIPModel", "safetensors", 2), ("CLIPVisionModel", "bin", 3)])
def test_round_trip_with_a_tower_of_its_own(
    demo: Any, tokenizer: Any, tmp_path: Path, kind: str, layout: str, shards: int
) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer, layout=layout, shards=shards, with_tower=False)
    tower = write_tower(tmp_path / "tower", demo, kind=kind, preprocessor=False)
    convert(original, tmp_path / "hf", tower)
    same_weights(tmp_path / "hf", demo)
    assert captions(tmp_path / "hf") == demo_captions()


def test_a_tower_in_pytorchs_format_under_older_names(demo: Any, tokenizer: Any, tmp_path: Path) -> None:
    """As openai/clip-vit-large-patch14-336 is published: a whole CLIP of transformers 4 in pytorch_model.bin."""
    original = write_original(tmp_path / "original", demo, tokenizer, with_tower=False)
    tower = write_tower(tmp_path / "tower", demo, preprocessor=False)
    state = load_file(tower / "model.safetensors")
    older = {n if "." not in n or n.split(".")[0] in HALVES else f"vision_model.{n}": t for n, t in state.items()}
    older["vision_model.embeddings.position_ids"] = torch.arange(37)[None]
    assert sum(name.startswith("vision_model.") for name in older) == 4 * 16 + 7 + 1
    (tower / "model.safetensors").unlink()
    torch.save({name: t for name, t in older.items()}, tower / "pytorch_model.bin")
    convert(original, tmp_path / "hf", tower)
    assert captions(tmp_path / "hf") == demo_captions()


HALVES = ("vision_model", "text_model", "visual_projection", "text_projection", "logit_scale")


def test_new_tokens_get_new_rows_and_change_no_caption(
    demo: Any, tokenizer: Any, known_tower: None, tmp_path: Path
) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer)
    without_tokens(original, ["<image>", "<|finetune_right_pad_id|>"])
    done = convert(original, tmp_path / "hf")
    assert (done.rows, done.image_token_id, done.pad_token, done.pad_token_id) == ((706, 768), 706, "<pad>", 707)
    words = loaded(tmp_path / "hf")["model.language_model.embed_tokens.weight"]
    old = demo.get_input_embeddings().weight
    assert torch.equal(words[:706], old)
    mean = old.double().mean(dim=0).to(old.dtype)
    assert torch.equal(words[706:], mean.expand(62, -1))
    processor = AutoProcessor.from_pretrained(tmp_path / "hf")
    added = {str(token): token for token in processor.tokenizer.added_tokens_decoder.values()}
    assert all(added[token].special and not added[token].normalized for token in ("<image>", "<pad>"))
    assert processor.tokenizer.tokenize(f"a<image>{RECAP_PROMPT}")[1] == "<image>"
    assert captions(tmp_path / "hf") == demo_captions()


def test_an_image_token_that_is_plain_text_becomes_special(
    demo: Any, tokenizer: Any, known_tower: None, tmp_path: Path
) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer)
    content = json.loads((original / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        if token["content"] == "<image>":
            token |= {"special": False, "normalized": True}
    (original / "tokenizer.json").write_text(json.dumps(content))
    assert convert(original, tmp_path / "hf").image_token_id == 6
    token = AutoProcessor.from_pretrained(tmp_path / "hf").tokenizer.added_tokens_decoder[6]
    assert token.special and not token.normalized
    assert captions(tmp_path / "hf") == demo_captions()


def test_an_output_layer_that_is_saved_though_tied(
    demo: Any, tokenizer: Any, known_tower: None, tmp_path: Path
) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer)
    state = load_file(original / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"]  # one memory, two names
    (original / "model.safetensors").unlink()
    write_weights(original, state, layout="bin")
    convert(original, tmp_path / "hf")
    same_weights(tmp_path / "hf", demo)
    state["lm_head.weight"] = state["lm_head.weight"] + 1
    write_weights(original, state, layout="bin")
    with pytest.raises(
        ValueError, match=r"lm_head\.weight is not model\.embed_tokens\.weight, but tie_word_embeddings"
    ):
        convert(original, tmp_path / "other")


def test_what_is_left_out(demo: Any, tokenizer: Any, known_tower: None, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer)
    edit_original(
        original,
        lambda state: state.update(
            {
                "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16),
                "model.vision_tower.vision_tower.vision_model.embeddings.position_ids": torch.ones(1, 37),
                "model.image_newline": torch.ones(128),
            }
        ),
    )
    convert(original, tmp_path / "hf")
    same_weights(tmp_path / "hf", demo)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_dtypes(demo: Any, tokenizer: Any, tmp_path: Path, dtype: str) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer, with_tower=False)
    tower = write_tower(tmp_path / "tower", demo)
    convert(original, tmp_path / "hf", tower, dtype)
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["dtype"] == dtype
    expected = demo.state_dict()
    for name, value in loaded(tmp_path / "hf").items():
        assert torch.equal(value, expected[name].to(getattr(torch, dtype))), name


def test_settings_of_the_original_arrive(demo: Any, tokenizer: Any, known_tower: None, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer)
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    edit_original(original, rope_theta=500000.0, rope_scaling=scaling, rms_norm_eps=1e-05, max_position_embeddings=8192)
    # Of the ids in a config, those of words are no ends.
    (original / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 600], "temperature": 0.2}))
    convert(original, tmp_path / "hf")
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "hf")
    text = model.config.text_config
    assert text.rope_parameters == {**scaling, "rope_theta": 500000.0}
    assert (text.rms_norm_eps, text.max_position_embeddings, text.num_key_value_heads) == (1e-05, 8192, 2)
    assert model.generation_config.eos_token_id == [1, 2, 4]
    assert (model.generation_config.do_sample, model.generation_config.pad_token_id) == (False, 5)
    raw = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert not set(SETTINGS) - {"architectures", "model_type"} & raw.keys()


def test_the_towers_own_preprocessing(demo: Any, tokenizer: Any, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original", demo, tokenizer, with_tower=False)
    tower = write_tower(tmp_path / "tower", demo)
    convert(original, tmp_path / "hf", tower)
    images = AutoProcessor.from_pretrained(tmp_path / "hf").image_processor
    assert (images.do_pad, images.do_center_crop, list(images.image_std)) == (True, False, [0.3, 0.25, 0.25])
    white = np.full((30, 60, 3), 255, np.uint8)
    top = images(white, return_tensors="pt")["pixel_values"][0][:, 0, 0]
    assert top.abs().max() < 0.02  # the mean colour, normalised: zero
    edit_original(original, image_aspect_ratio=None)
    convert(original, tmp_path / "cropped", tower)
    images = AutoProcessor.from_pretrained(tmp_path / "cropped").image_processor
    assert (images.do_pad, images.do_center_crop) == (False, True)
    assert images(white, return_tensors="pt")["pixel_values"].min() > 1


def test_original_names_are_those_of_llama(demo: Any) -> None:
    """The test's own inverse map, held against names written out."""
    names = original_state(demo, with_tower=True).keys()
    assert {
        "model.embed_tokens.weight",
        "model.layers.3.self_attn.k_proj.weight",
        "model.norm.weight",
        "model.mm_projector.0.weight",
        "model.mm_projector.2.bias",
        "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
    } <= names
    assert not [name for name in original_state(demo, with_tower=False) if "vision_tower" in name]
