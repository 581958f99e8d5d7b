from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.untrained_models import NEW_TOKENS, copy_with_weights, edit_json, noise_images

from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_checkpoint import CaptionerSource
from beam_recap.models.runtime import WeightsMismatch

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def original_layout(state: dict[str, torch.Tensor]) -> None:
    """Renames to what the original LLaVA code writes."""
    for name in list(state):
        new = name.replace("language_model.model.", "model.")
        new = new.replace("multi_modal_projector.linear_1", "model.mm_projector.0")
        new = new.replace("multi_modal_projector.linear_2", "model.mm_projector.2")
        if new.startswith("vision_tower."):
            new = new.replace("vision_tower.", "model.vision_tower.vision_tower.vision_model.", 1)
        state[new] = state.pop(name)


QUERY = "language_model.model.layers.0.self_attn.q_proj.weight"
WORDS = "language_model.model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop(QUERY), r"1 missing \(model\.language_model\.layers\.0\.self_attn\.q_proj\.weight\)"),
        (lambda s: s.update({QUERY + "s": s.pop(QUERY)}), r"1 missing .*; 1 unexpected \(.*q_proj\.weights\)"),
        (
            lambda s: s.update({QUERY: s[QUERY][:-4].clone()}),
            r"1 wrong shape \(.*q_proj.weight \[124, 128\], not \[128,",
        ),
        (lambda s: s.update(junk=torch.zeros(2)), r"1 unexpected \(junk\)"),
        # The output layer is tied to the embeddings: with them, both are gone.
        (lambda s: s.pop(WORDS), r"2 missing \(lm_head.weight, "),
        (lambda s: s.pop("multi_modal_projector.linear_2.bias"), "1 missing .*linear_2.bias"),
        (lambda s: s.pop("vision_tower.pre_layrnorm.weight"), "1 missing .*pre_layrnorm"),
        (original_layout, r"missing \(.*, \.\.\.\); \d+ unexpected"),
        (lambda s: s.update({QUERY: s[QUERY] * float("nan")}), "gives non-finite numbers in torch.float32"),
    ],
)
def test_weights_of_another_model_are_refused(
    llava_folder: Path, tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    with pytest.raises(WeightsMismatch, match=message):
        Captioner.load(copy_with_weights(llava_folder, tmp_path / "llava", "model.safetensors", spoil), device="cpu")


def test_an_output_layer_that_should_be_there_is_missed(llava_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "untied")
    text_config = json.loads((folder / "config.json").read_text())["text_config"]
    edit_json(
        folder / "config.json", tie_word_embeddings=False, text_config={**text_config, "tie_word_embeddings": False}
    )
    with pytest.raises(WeightsMismatch, match=r"1 missing \(lm_head.weight\)"):
        Captioner.load(str(folder), device="cpu")


@pytest.mark.parametrize("layout", ["4.x hub", "5.x"])
def test_layouts_that_transformers_itself_writes_load(
    llava_folder: Path, captioner: Captioner, tmp_path: Path, layout: str
) -> None:
    def rename(state: dict[str, torch.Tensor]) -> None:
        for name in list(state):
            if layout == "4.x hub":
                new = name.replace("vision_tower.", "vision_tower.vision_model.", 1)
            else:
                new = "model." + name.replace("language_model.model.", "language_model.")
            state[new] = state.pop(name)

    other = Captioner.load(
        copy_with_weights(llava_folder, tmp_path / "llava", "model.safetensors", rename),
        device="cpu",
        max_new_tokens=NEW_TOKENS,
    )
    assert other.caption(noise_images(3)) == captioner.caption(noise_images(3))


def test_a_cut_off_weights_file_is_refused(llava_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(WeightsMismatch, match="not whole"):
        Captioner.load(str(folder), device="cpu")


def test_pickled_weights_are_not_read(llava_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no readable safetensors"):
        Captioner.load(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "llava_llama"}, "original LLaVA layout"),
        # What the original code wrote for LLaVA-1.5; transformers would build a model of default sizes.
        ({"model_type": "llava", "mm_vision_tower": "openai/clip-vit-large-patch14-336"}, "original LLaVA layout"),
        ({"model_type": "llama"}, "does not turn images into text"),
        ({"model_type": "no_such_model"}, "does not know the model type no_such_model"),
        (None, "no readable config.json"),
    ],
)
def test_other_kinds_of_checkpoints_are_refused(
    llava_folder: Path, tmp_path: Path, config: dict[str, str] | None, message: str
) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        Captioner.load(str(folder), device="cpu")


def test_a_folder_without_a_processor_is_refused(llava_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    (folder / "processor_config.json").unlink()
    with pytest.raises(ValueError, match="processor"):
        Captioner.load(str(folder), device="cpu")


def test_code_from_a_folder_is_never_run(llava_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    edit_json(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config"})
    with pytest.raises(ValueError):
        Captioner.load(str(folder), device="cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("org/model", None, "--captioner=ID@REVISION"),
        ("org/model@main", None, "full commit hash"),
        ("org/model", "v1.0", "full commit hash"),
        (f"org/model@{COMMIT}", COMMIT[::-1], "also given as"),
        ("/no/such/folder", None, "neither a folder nor"),
        ("./no-such-folder", None, "neither a folder nor"),
        ("model", None, "neither a folder nor"),
    ],
)
def test_names_that_are_no_pinned_checkpoint(name: str, revision: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Captioner.load(name, revision, device="cpu")


def test_names(llava_folder: Path, captioner: Captioner) -> None:
    assert captioner.model_id == "tiny-llava"
    for source in (CaptionerSource.parse(f"org/model@{COMMIT}"), CaptionerSource.parse("org/model", COMMIT)):
        assert source == CaptionerSource("org/model", COMMIT)
        assert source.model_id == f"org/model@{COMMIT}"
        assert source.arguments == {"trust_remote_code": False, "local_files_only": False, "revision": COMMIT}
    assert CaptionerSource.parse(str(llava_folder)).arguments["local_files_only"] is True
    with pytest.raises(ValueError, match="it has no revision"):
        CaptionerSource.parse(str(llava_folder), COMMIT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, "--device=gpu"),
        ({"device": "cuda:99"}, "--device=cuda:99: this machine has"),
        ({"dtype": "int8"}, "--dtype=int8"),
        ({"batch_size": 0}, "at least 1"),
        ({"max_new_tokens": 0}, "at least 1"),
    ],
)
def test_settings_out_of_range(llava_folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Captioner.load(str(llava_folder), **{"device": "cpu", **settings})
