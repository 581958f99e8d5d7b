from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.collected import run_stage
from support.untrained_models import noise_images

from beam_recap.demo import paths
from beam_recap.models.clip_scorer import ClipScore, ClipScorer
from beam_recap.records import Reason, Sample, Stage
from transforms.score_clip import ClipModel
from transforms.score_more_clips import ScoreMoreClips

CLIP = str(paths.CLIP)
LONG = "a red circle " * 99


def rows() -> list[Sample]:
    captions = ("a red circle", None, LONG)
    recaptions = ("a blue square", "a dog", None)
    return [
        Sample(unit="u", index=i, uid=f"u{i}", key="k", image=image, caption=caption, recaption=recaption)
        for i, (image, caption, recaption) in enumerate(zip(noise_images(3), captions, recaptions, strict=True))
    ]


def test_numbers_are_those_of_each_model() -> None:
    kept, rejected = run_stage(rows(), ScoreMoreClips([ClipModel(CLIP, device="cpu"), ClipModel(CLIP, batch_size=2)]))
    assert rejected == []
    scorer = ClipScorer.load(CLIP, None, device="cpu")
    plain = scorer.score([row.image for row in rows()], [row.caption for row in rows()])  # type: ignore[misc]
    assert all(isinstance(score, ClipScore) for score in plain)
    for row, score in zip(kept, plain, strict=True):
        assert isinstance(score, ClipScore)
        assert row.more_clip_scores == pytest.approx([score.score] * 2, abs=1e-5)
        assert row.more_captions_lost == (score.caption_lost,) * 2
        assert row.more_logit_scales == pytest.approx([scorer.logit_scale] * 2)
    assert kept[1].more_clip_scores == (None, None)
    assert kept[2].more_captions_lost is not None and kept[2].more_captions_lost[0] > 0.5  # type: ignore[operator]
    again = scorer.score_captions([plain[0].embedding], ["a blue square"])[0]  # type: ignore[union-attr]
    assert kept[0].more_recaption_scores == pytest.approx([again.score] * 2, abs=1e-5)  # type: ignore[union-attr]
    assert (kept[2].more_recaption_scores, kept[2].more_recaptions_lost) == ((None, None), (None, None))


def test_a_picture_that_one_model_cannot_read_is_rejected_alone() -> None:
    some = rows()
    broken = Sample(unit="u", index=9, uid="u9", key="k", image=np.zeros((4, 4), np.uint8), caption="x")
    kept, rejected = run_stage([*some, broken], ScoreMoreClips([ClipModel(CLIP, device="cpu")]))
    assert [row.index for row in kept] == [0, 1, 2]
    assert [(row.sample.index, row.stage, row.reason) for row in rejected] == [
        (9, Stage.MORE_CLIPS, Reason.MODEL_ERROR)
    ]


def test_its_models_are_loaded_beforehand(tmp_path: Path) -> None:
    assert [scorer.model_id for scorer in ScoreMoreClips([ClipModel(CLIP, device="cpu")]).load()] == ["clip"]
    with pytest.raises(ValueError, match="neither a folder nor a model of open_clip"):
        ScoreMoreClips([ClipModel(str(tmp_path / "absent"), "tag")]).load()
