"""The demonstration's commands: training writes folders that load, the same seed gives the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile

import pytest
import torch
from support.recap_runs import ROOT

from beam_recap.demo import tiny_models
from beam_recap.demo.train import train_tower
from beam_recap.models.aesthetic_head import AestheticHead
from beam_recap.models.captioner import Captioner
from beam_recap.models.clip_scorer import ClipScorer


def _tower_after_two_steps(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    model, _ = tiny_models.build_llava()
    train_tower(model.model.vision_tower, 2, seed)
    return model.model.vision_tower.state_dict()


def test_the_same_seed_gives_the_same_weights():
    first, again, other = (_tower_after_two_steps(seed) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
def test_the_command_writes_folders_that_load(tmp_path):
    steps = ["--llava_steps", "1", "1", "1", "1", "--clip_steps", "1", "1"]
    command = [sys.executable, "-m", "beam_recap.demo.train", "--output", str(tmp_path), *steps]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    assert Captioner.load(str(tmp_path / "llava"), max_new_tokens=2).model_id == "llava"
    assert ClipScorer.load(str(tmp_path / "clip"), None).model_id == "clip"


@pytest.mark.slow
def test_the_commands_that_measure_and_fit(tmp_path):
    def run(module: str, *flags: str) -> str:
        command = [sys.executable, "-m", f"beam_recap.demo.{module}", *flags]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=200).stdout

    measured = json.loads(run("evaluate", "--pictures=30", "--seed=5"))
    assert measured["captioner"]["pictures"] == measured["clip"]["pictures"] == 30
    assert measured["captioner"]["exact"] > 0.8
    fitted = run("fit_aesthetic", "--pictures=300", f"--output={tmp_path}/head.safetensors")
    assert fitted.startswith("held-out scenes: R2")
    assert AestheticHead.load(str(tmp_path / "head.safetensors")).input_dim == 64
    run("shard", "--rows=20", f"--output={tmp_path}/demo.tar")
    with tarfile.open(tmp_path / "demo.tar") as tar:
        assert len(tar.getnames()) == 60
