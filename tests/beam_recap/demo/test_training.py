"""The training command: it writes folders that the engines load, and the same seed gives the same weights."""

from __future__ import annotations

import subprocess
import sys

import torch
from support.recap_runs import ROOT

from beam_recap.demo import tiny_models
from beam_recap.demo.train import train_tower
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


def test_the_command_writes_folders_that_load(tmp_path):
    steps = ["--llava_steps", "1", "1", "1", "1", "--clip_steps", "1", "1"]
    command = [sys.executable, "-m", "beam_recap.demo.train", "--output", str(tmp_path), *steps]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    assert Captioner.load(str(tmp_path / "llava"), max_new_tokens=2).model_id == "llava"
    assert ClipScorer.load(str(tmp_path / "clip"), None).model_id == "clip"
