"""A converted checkpoint says what the original says, and is what Hugging Face's own files are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.llava_inference import (
    OriginalLlava,
    captions,
    demo_captions,
    demo_model,
    demo_tokenizer,
    know_the_tiny_tower,
    loaded,
    pictures,
    vicuna,
)
from support.llava_original import edit_original, write_original, write_weights
from transformers import AutoModelForImageTextToText, AutoProcessor, CLIPImageProcessor, LlavaForConditionalGeneration

from beam_recap.models.captioner import Captioner
from beam_recap.models.llava_convert import convert
from beam_recap.prompts import RECAP_PROMPT


@pytest.fixture(autouse=True)
def known_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    know_the_tiny_tower(monkeypatch)


def original_ids(folder: Path, model: Any, before: str, after: str, tokenizer: Any, ends: list[int]) -> list[list[int]]:
    side = model.config.vision_config.image_size
    way = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    llava = OriginalLlava(folder, model.model.vision_tower, way)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, after)]
    return [llava.ids(picture, *ids, ends, limit=24) for picture in pictures()]


@pytest.mark.parametrize(
    ("tied", "settings"),
    [
        (False, {}),
        (True, {"mm_vision_select_layer": -1}),
        (False, {"image_aspect_ratio": "square", "mm_vision_select_feature": "cls_patch"}),
        (False, {"image_aspect_ratio": None, "model_type": "llava", "mm_vision_select_layer": 2}),
        (False, {"mm_projector_type": "linear"}),
    ],
)
def test_captions_are_the_originals(tmp_path: Path, tied: bool, settings: dict[str, Any]) -> None:
    """Against LLaMA, projector and tower put together as the original code does it."""
    model, tokenizer = vicuna(tied)
    original = write_original(tmp_path / "original", model, tokenizer)
    edit_original(original, **settings)
    if settings.get("mm_projector_type") == "linear":
        edit_original(original, one_layer)
    done = convert(original, tmp_path / "hf")
    assert (done.image_token_id, done.pad_token_id) == (len(tokenizer), len(tokenizer) + 1)
    assert done.end_tokens == ("</s>",)
    captioner = Captioner.load(str(tmp_path / "hf"), device="cpu", max_new_tokens=24)
    before, after = f"{tokenizer.bos_token}USER: <image>\n{RECAP_PROMPT} ASSISTANT:".split("<image>")
    assert captioner._prompt.text == f"{before}<image>{after}"
    ids = original_ids(original, model, before, after, captioner._processor.tokenizer, [2])
    found = captioner.caption(pictures())
    assert all(hasattr(caption, "text") for caption in found), found
    decoded = [captioner._processor.tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids]
    assert len(set(decoded)) > 1
    assert [(caption.text, caption.tokens) for caption in found] == [
        (text, len(row)) for text, row in zip(decoded, ids, strict=True)
    ]


def one_layer(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if "mm_projector" in name]:
        value = state.pop(name)
        if ".0." in name:
            state[name.replace(".0.", ".")] = value


def test_captions_of_the_trained_model_are_the_originals(
    tmp_path: Path,
) -> None:
    """LLaMA-3's form, held against the one written in the seed's own captioner."""
    tokenizer = demo_tokenizer()
    original = write_original(tmp_path / "original", demo_model(), tokenizer)
    before = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
    after = f"\n{RECAP_PROMPT}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    ids = original_ids(original, demo_model(torch.float32), before, after, tokenizer, [1, 4])
    assert [tokenizer.decode(row).strip() for row in ids] == [caption.text for caption in demo_captions()]


@pytest.mark.parametrize("tied", [True, False])
def test_the_files_are_those_that_hugging_face_publishes(tmp_path: Path, tied: bool) -> None:
    """Names as in llava-hf's checkpoints, and transformers makes the same model of both folders."""
    model, tokenizer = vicuna(tied)
    original = write_original(tmp_path / "original", model, tokenizer)
    convert(original, tmp_path / "hf")
    names = load_file(tmp_path / "hf" / "model.safetensors").keys()
    assert {
        "language_model.model.embed_tokens.weight",
        "language_model.model.layers.1.self_attn.q_proj.weight",
        "language_model.model.layers.1.mlp.gate_proj.weight",
        "language_model.model.norm.weight",
        "multi_modal_projector.linear_1.weight",
        "multi_modal_projector.linear_2.bias",
        "vision_tower.vision_model.embeddings.class_embedding",
        "vision_tower.vision_model.encoder.layers.3.mlp.fc2.bias",
        "vision_tower.vision_model.post_layernorm.weight",
    } <= names
    assert ("language_model.lm_head.weight" in names) is not tied
    config = AutoModelForImageTextToText.from_pretrained(tmp_path / "hf").config
    theirs = LlavaForConditionalGeneration(config)
    resized = model.resize_token_embeddings(config.text_config.vocab_size, mean_resizing=False).weight
    rows = len(tokenizer)
    with torch.no_grad():
        for weight in {resized, model.get_output_embeddings().weight}:
            weight[rows:] = weight[:rows].double().mean(dim=0)
    theirs.load_state_dict(model.state_dict())
    theirs.save_pretrained(tmp_path / "saved")  # by transformers itself
    converted, saved = loaded(tmp_path / "hf"), loaded(tmp_path / "saved")
    assert converted.keys() == saved.keys()
    assert all(torch.equal(converted[name], value) for name, value in saved.items())


def test_one_memory_under_two_names_is_written_twice(tmp_path: Path) -> None:
    model, tokenizer = vicuna(tied=False)
    original = write_original(tmp_path / "original", model, tokenizer)
    state = load_file(original / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    (original / "model.safetensors").unlink()
    write_weights(original, state, layout="bin")
    convert(original, tmp_path / "hf")
    written = loaded(tmp_path / "hf")
    assert torch.equal(written["lm_head.weight"], written["model.language_model.embed_tokens.weight"])


def test_one_begin_token_in_every_way_of_asking(tmp_path: Path) -> None:
    model, tokenizer = vicuna(tied=False)
    convert(write_original(tmp_path / "original", model, tokenizer), tmp_path / "hf")
    processor = AutoProcessor.from_pretrained(tmp_path / "hf")
    picture = {"type": "image", "image": pictures(1)[0]}
    chat = [{"role": "user", "content": [{"type": "text", "text": RECAP_PROMPT}, picture]}]
    inputs = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)
    (ids,) = inputs["input_ids"]
    assert ids.count(1) == 1 and ids.count(len(tokenizer)) == 36
    assert processor.tokenizer("a b")["input_ids"] == tokenizer("a b")["input_ids"]
    with pytest.raises(Exception, match="made for one message"):
        processor.apply_chat_template([*chat, *chat])


def test_a_sentencepiece_model(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    from sentencepiece import sentencepiece_model_pb2 as protobuf

    model, tokenizer = vicuna(tied=False)
    original = write_original(tmp_path / "original", model, tokenizer)
    whole = convert(original, tmp_path / "whole")
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    proto = protobuf.ModelProto()
    proto.trainer_spec.model_type = 2  # BPE
    proto.trainer_spec.byte_fallback = True
    for piece, number in vocabulary:
        kind = {0: 2, 1: 3, 2: 3}.get(number, 6 if number < 259 else 1)  # unknown, control, byte, normal
        proto.pieces.add(piece=piece, score=-float(number), type=kind)
    (original / "tokenizer.json").unlink()
    (original / "tokenizer.model").write_bytes(proto.SerializeToString())
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (original / "tokenizer_config.json").write_text(json.dumps({**config, "add_bos_token": True, "legacy": False}))
    assert convert(original, tmp_path / "hf") == whole
    prompts = [AutoProcessor.from_pretrained(tmp_path / name).tokenizer for name in ("whole", "hf")]
    ids = [tokenizer(f"USER: <image>\n{RECAP_PROMPT} ASSISTANT: é")["input_ids"] for tokenizer in prompts]
    assert ids[0][0] == ids[1][0] == 1 and ids[1].count(1) == 1
    shutil.rmtree(tmp_path / "whole")
    assert captions(tmp_path / "hf", max_new_tokens=8)
