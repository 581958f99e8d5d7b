"""One CLIP for all processes of a machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import scoring_processes
from support.noted import run_noted
from support.untrained_models import noise_images

from beam_recap.demo import paths
from beam_recap.isolation import ModelFailure
from beam_recap.models.clip_scorer import ClipScorer
from beam_recap.models.shared_clip import ClipServer, SharedClip


@pytest.fixture(scope="module")
def scorer() -> ClipScorer:
    return ClipScorer.load(str(paths.CLIP), None, device="cpu", batch_size=4)


def test_it_gives_what_the_model_gives(scorer: ClipScorer) -> None:
    shared = SharedClip(ClipServer(scorer))
    images = noise_images(7)
    captions = ["a star", None, "two stars", "", "three", "four", "five"]
    ours, theirs = shared.score(images, captions), scorer.score(images, captions)
    for one, other in zip(ours, theirs, strict=True):
        assert not isinstance(one, ModelFailure) and not isinstance(other, ModelFailure)
        assert (one.score, one.caption_lost) == (other.score, other.caption_lost)
        assert np.array_equal(one.embedding, other.embedding)
    assert np.array_equal(shared.embed(images)[6], scorer.embed(images)[6])
    embeddings = [score.embedding for score in theirs]  # type: ignore[union-attr]
    texts = ["x"] * len(embeddings)
    assert shared.score_captions(embeddings, texts) == scorer.score_captions(embeddings, texts)
    assert (shared.model_id, shared.logit_scale) == (scorer.model_id, scorer.logit_scale)
    assert shared.embedding_dim() == scorer.embedding_dim()


def test_a_bad_picture_costs_only_its_row(scorer: ClipScorer) -> None:
    shared = SharedClip(ClipServer(scorer))
    images = noise_images(6)
    images[2] = np.zeros((8, 8), np.uint8)
    scores = shared.score(images, ["a"] * 6)
    assert [isinstance(score, ModelFailure) for score in scores] == [False, False, True, False, False, False]
    assert "an image must be uint8 [H, W, 3]" in scores[2].detail  # type: ignore[union-attr]
    assert scores[5].score == scorer.score(images[5:], ["a"])[0].score  # type: ignore[union-attr]


@pytest.mark.slow
def test_worker_processes_share_one_copy(scorer: ClipScorer, tmp_path: Path) -> None:
    """Two real worker processes: one load on the whole machine, and the scores of one process alone."""
    notes = run_noted("scoring_processes", tmp_path)
    assert len([note for note in notes if "loaded_by" in note]) == 1
    assert len({note["asked_by"] for note in notes if "index" in note}) == 2
    rows = scoring_processes.make_rows()
    alone = scorer.score([row.image for row in rows], [row.caption for row in rows])  # type: ignore[misc]
    scores = {note["index"]: note["score"] for note in notes if "index" in note}
    assert scores == {index: score.score for index, score in enumerate(alone)}  # type: ignore[union-attr]
