"""The pipeline gives what a plain loop over the same functions gives."""

from __future__ import annotations

import hashlib

import pytest
from support.recap_runs import kept, rejected, run_here

from beam_recap.config import RecapConfig
from beam_recap.demo import paths
from beam_recap.images import DecodedImage, DecodeSettings, decode_image
from beam_recap.inputs.tar_rows import read_tar_rows
from beam_recap.inputs.units import match_shards, plan_units
from beam_recap.records import Sample


def _plain_loop() -> tuple[dict[str, tuple], dict[str, str]]:
    """Key -> (caption, new caption, scores) of kept rows, and key -> reason of rejected ones, one row at a time."""
    from beam_recap.models.aesthetic_head import AestheticHead
    from beam_recap.models.captioner import Captioner
    from beam_recap.models.clip_scorer import ClipScorer
    from beam_recap.ocr.text_spotter import TextSpotter

    scorer, head = ClipScorer.load(str(paths.CLIP), None), AestheticHead.load(str(paths.AESTHETIC_HEAD))
    spotter, captioner = TextSpotter(), Captioner.load(str(paths.CAPTIONER))
    (shard,) = match_shards([str(paths.SHARD)])
    (unit,) = plan_units(shard, 2000)
    kept_rows, reasons = {}, {}
    for row in read_tar_rows(unit, url_column=None, caption_column=None, max_bytes=2**20, done=set()):
        assert isinstance(row, Sample)
        decoded = decode_image(row.image_bytes, DecodeSettings())
        if not isinstance(decoded, DecodedImage):
            reasons[row.key] = decoded.reason.value
            continue
        (score,) = scorer.score([decoded.image], [row.caption])
        if not score.score > 0.3:
            reasons[row.key] = "low_clip_score"
            continue
        (aesthetic,) = head.score([score.embedding])
        if not aesthetic > 4.5:
            reasons[row.key] = "low_aesthetic_score"
        elif spotter.spot(decoded.image).has_text:
            reasons[row.key] = "has_text"
        else:
            (caption,) = captioner.caption([decoded.image])
            (new,) = scorer.score_captions([score.embedding], [caption.text])
            digest = hashlib.sha256(row.image_bytes).hexdigest()
            numbers = (score.score, aesthetic, new.score)
            kept_rows[row.key] = (row.caption, caption.text, digest, decoded.width, decoded.height, numbers)
    return kept_rows, reasons


def test_pipeline_equals_plain_loop(tmp_path):
    output = tmp_path / "out"
    assert run_here(f"--output={output}", "--extra_columns=true") == 0
    expected, reasons = _plain_loop()
    assert len(expected) > 20 and len(reasons) > 20  # neither side is trivial
    rows = kept(output).to_pylist()
    assert [row["key"] for row in rows] == sorted(expected)  # in the input's order
    for row in rows:
        caption, new_caption, digest, width, height, numbers = expected[row["key"]]
        assert (row["org_caption"], row["re_caption"], row["sha256"]) == (caption, new_caption, digest)
        assert (row["original_width"], row["original_height"]) == (width, height)
        given = (row["org_clip_score"], row["ase_scores"], row["re_clip_score"])
        assert given == pytest.approx(numbers, abs=2e-5)  # sums in another order, from another batch
    assert {row["key"]: row["reason"] for row in rejected(output)} == reasons


def test_config_defaults_of_the_demonstration():
    config = RecapConfig.from_flags({})
    assert (config.preset, config.input, config.min_clip_score, config.min_aesthetic_score) == (
        "recap-debiased", (), 0.3, 4.5,
    )  # fmt: skip
