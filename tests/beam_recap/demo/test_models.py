"""The demonstration's models do what they say, on fresh scenes that training never saw."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from beam_recap.demo import paths
from beam_recap.demo.evaluate import caption_accuracy, clip_ranking
from beam_recap.demo.fit_aesthetic import RULE, pictures
from beam_recap.models.aesthetic_head import AestheticHead
from beam_recap.models.captioner import Captioner
from beam_recap.models.clip_scorer import ClipScorer


@pytest.fixture(scope="module")
def scorer():
    return ClipScorer.load(str(paths.CLIP), None)


def test_captions_name_every_object_with_colour_and_place():
    accuracy = caption_accuracy(Captioner.load(str(paths.CAPTIONER), batch_size=64), 400, seed=20261121)
    assert accuracy.exact >= 0.97, accuracy


def test_clip_ranks_the_right_caption_first(scorer):
    ranking = clip_ranking(scorer, 600, seed=20261122)
    assert ranking.right_above_one_word_wrong >= 0.96, ranking
    assert ranking.auc_matched_against_mismatched >= 0.995, ranking


def test_aesthetic_head_follows_its_rule(scorer):
    head = AestheticHead.load(str(paths.AESTHETIC_HEAD))
    images, targets = pictures(200, seed=7, held_out=True)
    scores = np.array(head.score([score.embedding for score in scorer.score(images, [None] * len(images))]))
    assert 1 - np.var(targets - scores) / np.var(targets) >= 0.8
    with safe_open(str(paths.AESTHETIC_HEAD), framework="numpy") as file:
        assert file.metadata()["target"] == RULE


def test_models_are_small_and_real():
    size = sum(path.stat().st_size for path in paths.MODELS.rglob("*") if path.is_file())
    assert size < 15_000_000
    assert not [path for path in paths.MODELS.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl")]
    config = json.loads((paths.CAPTIONER / "config.json").read_text())
    assert config["architectures"] == ["LlavaForConditionalGeneration"]
    assert config["vision_config"]["model_type"] == "clip_vision_model"
    assert config["text_config"]["model_type"] == "llama"
