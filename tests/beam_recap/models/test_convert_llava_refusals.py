"""What cannot be converted is refused in one sentence, before anything is written, and no file's code is run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.llava_inference import demo_model, demo_tokenizer, know_the_tiny_tower
from support.llava_original import TOWER, edit_original, write_original, write_tower, write_weights
from support.untrained_models import edit_json

from beam_recap.models import llava_processor
from beam_recap.models.llava_convert import convert

QUERY = "model.layers.0.self_attn.q_proj.weight"
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original(tmp_path_factory.mktemp("original") / "llava", demo_model(), demo_tokenizer())


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tower(tmp_path_factory.mktemp("tower") / "clip", demo_model())


@pytest.fixture
def original(master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_the_tiny_tower(monkeypatch)
    return shutil.copytree(master, tmp_path / "llava")


def refuse(original: Path, message: str, tower: Path | None = None, dtype: str = "keep") -> None:
    """One sentence, and nothing beside the output."""
    output = original.parent / "out" / "hf"
    output.parent.mkdir()
    with pytest.raises(ValueError, match=message) as raised:
        convert(original, output, tower, dtype)
    sentence = str(raised.value)
    assert "\n" not in sentence and sentence.startswith("--") and sentence.endswith(".")
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "llava_mistral"}, "it is a 'llava_mistral'"),
        ({"architectures": ["LlavaMptForCausalLM"]}, "LlavaMptForCausalLM"),
        ({"model_type": "llava", "text_config": {}}, "in Hugging Face's layout already"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end is set"),
        ({"mm_projector_type": "mlp3x_gelu"}, "mm_projector_type is 'mlp3x_gelu'; only mlp2x_gelu and linear"),
        ({"mm_projector_type": ["mlp2x_gelu"]}, "mm_projector_type"),
        ({"image_aspect_ratio": "anyres"}, "LLaVA-NeXT"),
        ({"image_aspect_ratio": "anyres_max_9"}, "LLaVA-NeXT"),
        ({"mm_patch_merge_type": "spatial_unpad"}, "LLaVA-NeXT"),
        ({"image_aspect_ratio": "highres"}, "image_aspect_ratio is 'highres'"),
        ({"mm_vision_select_layer": None}, "mm_vision_select_layer is None"),
        ({"mm_vision_select_layer": -6}, "it has 4 layers, and mm_vision_select_layer is -6"),
        ({"mm_vision_select_feature": "cls"}, "mm_vision_select_feature is 'cls'"),
        ({"mm_vision_select_feature": ["patch"]}, "mm_vision_select_feature"),
        ({"mm_vision_tower": None}, "mm_vision_tower is None"),
        ({"s2": True}, "several scales"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, not a whole number from 1 to 1000"),
        ({"vocab_size": "706"}, "vocab_size is '706'"),
        ({"num_key_value_heads": "two"}, "makes no model .*num_key_value_heads"),
        ({"rope_scaling": {"rope_type": "no such"}}, "makes no model"),
        ({"hidden_act": "no such"}, "makes no model"),
        ({"num_attention_heads": 3}, "makes no model"),
        ({"vocab_size": 705}, r"1 wrong shape \(model.embed_tokens.weight \[706, 128\], not \[705, 128\]"),
        ({"num_hidden_layers": 3}, r"9 unexpected \(model.layers.3.input_layernorm.weight, "),
        ({"tie_word_embeddings": False}, r"1 missing \(language_model.lm_head.weight\)"),
    ],
)
def test_configs(original: Path, config: dict[str, Any], message: str) -> None:
    edit_original(original, **config)
    refuse(original, message)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop(QUERY), r"1 missing \(language_model.model.layers.0.self_attn.q_proj.weight\)"),
        (lambda s: s.update({QUERY: s[QUERY][:-4].clone()}), r"q_proj.weight \[124, 128\], not \[128, 128\]"),
        (lambda s: s.update(junk=torch.zeros(2)), r"1 unexpected \(junk\)"),
        (lambda s: s.update({"model.junk.weight": torch.zeros(2)}), r"1 unexpected \(model.junk.weight\)"),
        (lambda s: s.pop("model.mm_projector.2.bias"), r"1 missing \(multi_modal_projector.linear_2.bias"),
        (lambda s: s.update({"model.mm_projector.4.bias": torch.zeros(2)}), r"1 unexpected \(model.mm_projector.4"),
        (lambda s: s.pop(TOWER + "pre_layrnorm.bias"), r"1 missing \(vision_tower.vision_model.pre_layrnorm.bias"),
        (lambda s: s.pop("model.embed_tokens.weight"), r"1 missing \(language_model.model.embed_tokens.weight"),
        (lambda s: s.update({QUERY: s[QUERY].to(torch.int8)}), "q_proj.weight is neither float32 .* quantised"),
        (
            lambda s: s.update({"model.mm_projector.bias": torch.zeros(128)}),
            "model.mm_projector.bias and model.mm_projector.0.bias are the same tensor",
        ),
    ],
)
def test_weights(original: Path, spoil: Callable[[dict[str, torch.Tensor]], object], message: str) -> None:
    edit_original(original, spoil)
    refuse(original, message)


def test_a_lone_projector_layer_does_not_pass_for_two(original: Path) -> None:
    edit_original(original, mm_projector_type="linear")
    refuse(original, r"2 unexpected \(model.mm_projector.2.bias, model.mm_projector.2.weight\)")


def test_numbers_too_large_for_float16(original: Path) -> None:
    edit_original(original, lambda s: s.update({QUERY: s[QUERY].float() * 1e6}))
    refuse(original, r"--dtype=float16: .*q_proj.weight has numbers too large", dtype="float16")


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path):
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._path,)


@pytest.mark.parametrize("place", ["whole", "tensor", "legacy"])
def test_code_in_a_pytorch_file_is_not_run(original: Path, tmp_path: Path, place: str) -> None:
    state: Any = load_file(original / "model.safetensors")
    (original / "model.safetensors").unlink()
    harm = Harmful(tmp_path / "ran")
    value = harm if place == "whole" else {**state, "model.norm.weight": harm}
    torch.save(value, original / "pytorch_model.bin", _use_new_zipfile_serialization=place != "legacy")
    refuse(original, "pytorch_model.bin is not a whole file of PyTorch .* without running code")
    assert not (tmp_path / "ran").exists()
    torch.load(original / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").is_dir()  # the file is what it is meant to be


def test_code_beside_the_configs_is_not_run(original: Path, tmp_path: Path) -> None:
    (original / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Words: pass\n")
    edit_original(original, auto_map={"AutoConfig": "own.Config"})
    edit_json(original / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Words", "own.Words"]})
    convert(original, tmp_path / "hf")
    assert not (tmp_path / "ran").exists() and not list((tmp_path / "hf").glob("*.py"))
    assert not [path for path in (tmp_path / "hf").glob("*.json") if "auto_map" in path.read_text()]


@pytest.mark.parametrize("value", [[torch.zeros(2)], {"model": {"x": torch.zeros(2)}}, {3: torch.zeros(2)}])
def test_pytorch_files_of_something_else(original: Path, value: Any) -> None:
    (original / "model.safetensors").unlink()
    torch.save(value, original / "pytorch_model.bin")
    refuse(original, "pytorch_model.bin is not a dictionary of tensors")


def _cut(folder: Path, name: str) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(100_000)


@pytest.mark.parametrize(
    ("layout", "spoil", "message"),
    [
        ("safetensors", lambda f: _cut(f, "model-00002-of-00002.safetensors"), "00002.safetensors is not whole"),
        ("bin", lambda f: _cut(f, "pytorch_model-00001-of-00002.bin"), "00002.bin is not a whole file"),
        ("safetensors", lambda f: (f / "model-00001-of-00002.safetensors").unlink(), "00002.safetensors is missing"),
        ("safetensors", lambda f: edit_json(f / INDEX, weight_map=3), "has no weight_map"),
        (
            "safetensors",
            lambda f: edit_json(f / INDEX, weight_map={"x": "../llava/model.safetensors"}),
            "names '../llava/model.safetensors', which is no weights file beside it",
        ),
        (
            "safetensors",
            lambda f: edit_json(f / INDEX, weight_map={"x": "model-00001-of-00002.safetensors"}),
            "do not hold what model.safetensors.index.json says",
        ),
        ("safetensors", lambda f: (f / INDEX).unlink(), "there are no weights"),
        ("safetensors", lambda f: (f / "config.json").unlink(), "there is no config.json"),
        ("safetensors", lambda f: (f / "config.json").write_text("{" * 10), "config.json is not readable JSON"),
        ("safetensors", lambda f: (f / "config.json").write_text("[" * 10**6), "config.json is not readable JSON"),
        ("safetensors", lambda f: (f / "config.json").write_text("[]"), "config.json is not a JSON object"),
        ("safetensors", lambda f: (f / "config.json").write_bytes(b" " * 2**24 + b"{}"), "config.json is larger"),
        ("safetensors", lambda f: (f / "tokenizer.json").unlink(), "neither tokenizer.json nor tokenizer.model"),
        ("safetensors", lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json is not readable"),
    ],
)  # fmt: skip
def test_files(original: Path, layout: str, spoil: Callable[[Path], object], message: str) -> None:
    state = load_file(original / "model.safetensors")
    (original / "model.safetensors").unlink()
    write_weights(original, state, layout=layout, shards=2)
    spoil(original)
    refuse(original, message)


def test_a_sentencepiece_model_without_its_package(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (original / "tokenizer.json").rename(original / "tokenizer.model")
    monkeypatch.setattr(llava_processor, "find_spec", lambda name: None)
    refuse(original, "pip install 'sentencepiece.*', or put the same tokenizer's tokenizer.json beside it")


def test_a_tokenizer_without_an_end(original: Path) -> None:
    text = (original / "tokenizer.json").read_text()
    (original / "tokenizer.json").write_text(re.sub(r"<\|(eot_id|end_of_text)\|>", r"<|not_\1|>", text))
    settings = json.loads((original / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (original / "tokenizer_config.json").write_text(json.dumps(settings))
    edit_original(original, eos_token_id=600)
    refuse(original, "names no token that ends an answer")


def without_tower(original: Path) -> None:
    edit_original(original, lambda s: [s.pop(name) for name in list(s) if name.startswith(TOWER)])


def test_towers_that_are_not_there(original: Path, tower: Path) -> None:
    without_tower(original)
    with pytest.raises(
        ValueError, match=r"frozen vision tower, someone/tiny-clip \(mm_vision_tower\).*--vision_tower="
    ):
        convert(original, original.parent / "hf")
    edit_original(original, unfreeze_mm_vision_tower=True)
    refuse(original, "its vision tower was trained too", tower)


def test_a_saved_tower_of_unknown_shape(original: Path) -> None:
    edit_original(original, mm_vision_tower="someone/other-clip")
    refuse(original, r"the shape of its vision tower, someone/other-clip \(mm_vision_tower\).*--vision_tower=")


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("config.json", {"model_type": "siglip"}, "type 'siglip', not a CLIP"),
        ("config.json", {"vision_config": {"hidden_size": 128}}, "intermediate_size is None"),
        ("preprocessor_config.json", {"size": 224}, "the size in its preprocessor_config.json is 224, but"),
        ("preprocessor_config.json", {"crop_size": {"height": 60, "width": 61}}, "the crop_size"),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5]}, "the image_mean"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0]}, "the image_std"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, "1"]}, "the image_std"),
        ("preprocessor_config.json", {"resample": 99}, "the resample"),
    ],
)
def test_other_towers(original: Path, tower: Path, tmp_path: Path, file: str, values: Any, message: str) -> None:
    without_tower(original)
    other = shutil.copytree(tower, tmp_path / "tower")
    edit_json(other / file, **values)
    refuse(original, f"--vision_tower=.*{message}", other)


def test_a_tower_of_another_size_than_the_one_named(original: Path, tower: Path) -> None:
    """CLIP-L/14 at 224 and at 336 px have one width: only the name tells them apart."""
    without_tower(original)
    edit_original(original, mm_vision_tower="openai/clip-vit-large-patch14-336")
    refuse(
        original, r"--vision_tower=.*its hidden_size is 128, but openai/clip-vit-large-patch14-336 .* has 1024", tower
    )


def test_a_tower_that_lacks_weights(original: Path, tower: Path, tmp_path: Path) -> None:
    without_tower(original)
    other = shutil.copytree(tower, tmp_path / "tower")
    state = load_file(other / "model.safetensors")
    (name,) = [name for name in state if "layers.2.mlp.fc1.bias" in name]
    del state[name]
    save_file(state, other / "model.safetensors")
    refuse(original, r"1 missing \(vision_tower.vision_model.encoder.layers.2.mlp.fc1.bias\)", other)
