from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.untrained_models import copy_with_weights, noise_images

from beam_recap.models.clip_scorer import CaptionScore, ClipScore, ClipScorer
from beam_recap.models.runtime import WeightsMismatch

WEIGHTS = "open_clip_model.safetensors"


def scores(results: list[Any]) -> list[float | None]:
    assert all(isinstance(result, ClipScore | CaptionScore) for result in results), results
    return [result.score for result in results]


NAME = "visual.transformer.resblocks.0.attn.in_proj_weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop(NAME), f"1 missing .{NAME}"),
        (lambda s: s.update(extra=torch.zeros(2)), "1 unexpected .extra"),
        (lambda s: s.update({NAME: s[NAME][:-1].clone()}), rf"1 wrong shape .{NAME} \[383, 128\], not \[384, 128\]"),
        # open_clip itself would stretch these two.
        (lambda s: s.update({"visual.positional_embedding": torch.zeros(26, 128)}), "wrong shape .visual.positional"),
        (lambda s: s.update({"positional_embedding": torch.zeros(77, 128)}), "wrong shape .positional_embedding"),
        (lambda s: s.clear() or s.update(junk=torch.zeros(1)), r"missing \(.*, \.\.\.\); 1 unexpected \(junk\)"),
    ],
)
def test_weights_of_another_model_are_refused(
    clip_folder: Path, tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    with pytest.raises(WeightsMismatch, match=message):
        ClipScorer.load(copy_with_weights(clip_folder, tmp_path / "clip", WEIGHTS, spoil), None, device="cpu")


def test_a_cut_off_weights_file_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path / "clip")
    with (tmp_path / "clip" / WEIGHTS).open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(WeightsMismatch, match="not a whole safetensors file"):
        ClipScorer.load(str(tmp_path / "clip"), None, device="cpu")


def test_pickled_weights_are_not_read(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path / "clip")
    torch.save(load_file(tmp_path / "clip" / WEIGHTS), tmp_path / "clip" / "open_clip_pytorch_model.bin")
    (tmp_path / "clip" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors"):
        ClipScorer.load(str(tmp_path / "clip"), None, device="cpu")


def test_a_folder_cannot_ask_for_its_code_to_be_run(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path / "clip")
    path = tmp_path / "clip" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="trust_remote_code"):
        ClipScorer.load(str(tmp_path / "clip"), None, device="cpu")
    path.write_text("[]")
    with pytest.raises(ValueError, match="not an open_clip model config"):
        ClipScorer.load(str(tmp_path / "clip"), None, device="cpu")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        ClipScorer.load(str(tmp_path / "clip"), None, device="cpu")


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-L-14", None, "its weights would be random"),
        ("ViT-L-14", "opennai", "no weights of ViT-L-14; open_clip has openai"),
        ("ViT-L-41", "openai", "neither a folder nor a model"),
        ("hf-hub:some/thing", "openai", "neither a folder nor a model"),
    ],
)
def test_names_without_weights_are_refused(model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipScorer.load(model, pretrained, device="cpu")


def test_a_folder_takes_no_tag(clip_folder: Path, scorer: ClipScorer) -> None:
    with pytest.raises(ValueError, match="--clip_pretrained=openai does not apply"):
        ClipScorer.load(str(clip_folder), "openai", device="cpu")
    assert scorer.model_id == "tiny-clip"


@pytest.fixture
def named_model(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny model under a name with two tags of the same weights: one trained with QuickGELU, one with GELU."""
    config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    config.update(quick_gelu=False)
    config["text_cfg"].update(vocab_size=49408, hf_tokenizer_name="")
    state = load_file(clip_folder / WEIGHTS)
    state["token_embedding.weight"] = torch.randn(49408, 128)
    save_file(state, tmp_path / "named.safetensors")
    tags = {
        tag: {"file": str(tmp_path / "named.safetensors"), "quick_gelu": quick}
        for tag, quick in (("openai", True), ("other", False))
    }
    for name, quick in (("Tiny", False), ("Tiny-quickgelu", True)):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, {**config, "quick_gelu": quick})
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, tags)
    return "Tiny"


@pytest.mark.filterwarnings("error:QuickGELU mismatch")
def test_openai_weights_get_quick_gelu(named_model: str) -> None:
    images, captions = noise_images(3), ["a red circle", "a star", "a cat"]
    quick = ClipScorer.load(named_model, "openai", device="cpu")
    plain = ClipScorer.load(named_model, "other", device="cpu")
    same = ClipScorer.load(f"{named_model}-quickgelu", "openai", device="cpu")
    assert (quick.model_id, plain.model_id) == ("Tiny/openai", "Tiny/other")
    activations = [[type(m).__name__ for m in s._model.modules() if "GELU" in type(m).__name__] for s in (quick, plain)]
    assert [set(names) for names in activations] == [{"QuickGELU"}, {"GELU"}]
    assert scores(quick.score(images, captions)) == scores(same.score(images, captions))
    with pytest.raises(ValueError, match="trained with GELU: use Tiny"):
        ClipScorer.load(f"{named_model}-quickgelu", "other", device="cpu")
