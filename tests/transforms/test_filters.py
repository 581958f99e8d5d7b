"""ScoreCLIP, AestheticFilter, OCRFilter, RescoreCaption and FetchImage with Beam's testing tools."""

from __future__ import annotations

import dataclasses
import pickle
import random

import numpy as np
import pytest
from support.collected import run_stage
from support.shards import jpeg
from support.web_server import WebServer

from beam_recap.demo import paths
from beam_recap.demo.draw import draw_scene
from beam_recap.demo.scenes import describe, random_scene
from beam_recap.fetch import FetchSettings
from beam_recap.ocr import OCRSettings
from beam_recap.records import Reason, Sample
from transforms.aesthetic_filter import AestheticFilter
from transforms.caption_image import CaptionImage, CaptionModel
from transforms.checkpoint import Checkpoint
from transforms.fetch_image import FetchImage
from transforms.ocr_filter import OCRFilter
from transforms.rescore_caption import RescoreCaption
from transforms.score_clip import ClipModel, ScoreCLIP

CLIP = ClipModel(str(paths.CLIP), batch_size=4)


def _samples(count=6, text=None):
    rng = random.Random(5)
    samples = []
    for i in range(count):
        scene = random_scene(rng, held_out=True, objects=1)
        image = np.asarray(draw_scene(scene, rng, text=text))
        samples.append(Sample(unit="u", index=i, uid=f"uid{i}", key=f"{i}", caption=describe(scene), image=image))
    return samples


def test_score_clip():
    samples = _samples()
    samples[2] = dataclasses.replace(samples[2], caption="click here to subscribe to our newsletter")
    samples[4] = dataclasses.replace(samples[4], caption=None)
    kept, out = run_stage(samples, ScoreCLIP(CLIP, min_score=0.3))
    assert {r.sample.index: r.reason for r in out} == {2: Reason.LOW_CLIP_SCORE, 4: Reason.MISSING_CAPTION}
    assert [s.index for s in kept] == [0, 1, 3, 5]
    assert all(s.clip_score > 0.3 and np.isclose(np.linalg.norm(s.image_embedding), 1, atol=1e-5) for s in kept)
    assert out[0].sample.image_embedding is None and out[0].sample.clip_score < 0.3
    kept, out = run_stage(samples, ScoreCLIP(CLIP))
    assert len(kept) == 6 and not out
    assert kept[4].clip_score is None and kept[4].image_embedding is not None


def test_aesthetic_filter():
    scored, _ = run_stage(_samples(), ScoreCLIP(CLIP))
    kept, out = run_stage(scored, AestheticFilter(str(paths.AESTHETIC_HEAD), min_score=6.5))
    assert len(kept) + len(out) == 6 and kept and out
    assert all(s.aesthetic_score > 6.5 for s in kept)
    assert all(r.reason is Reason.LOW_AESTHETIC_SCORE and r.sample.aesthetic_score <= 6.5 for r in out)


def test_ocr_filter():
    samples = _samples(2) + [dataclasses.replace(s, index=s.index + 2) for s in _samples(2, text="SALE 50% OFF")]
    kept, out = run_stage(samples, OCRFilter())
    assert [s.index for s in kept] == [0, 1]
    assert {r.reason for r in out} == {Reason.HAS_TEXT}
    assert all("SALE" in r.sample.ocr_text for r in out)
    assert [s.ocr_text for s in kept] == ["", ""]
    kept, out = run_stage(samples, OCRFilter(OCRSettings(full_text=True), max_boxes=None))
    assert len(kept) == 4 and not out
    with pytest.raises(ValueError, match="full_text"):
        OCRFilter(max_boxes=2)


def test_caption_and_rescore():
    scored, _ = run_stage(_samples(), ScoreCLIP(CLIP))
    captioned, out = run_stage(scored, CaptionImage(CaptionModel(str(paths.CAPTIONER), batch_size=4)))
    assert not out
    assert all(
        s.recaption.endswith("background.") and s.recaption_tokens > 5 and not s.recaption_truncated for s in captioned
    )
    rescored, out = run_stage(captioned, RescoreCaption(CLIP))
    assert not out
    for sample in rescored:
        if sample.recaption == sample.caption:
            assert sample.recaption_clip_score == pytest.approx(sample.clip_score, abs=1e-5)


def test_fetch_image():
    with WebServer({"/a.jpg": jpeg(200, 100, "red")}) as web:
        urls = ["/a.jpg", "/status/404", "/redirect/2/a.jpg", "/html"] * 5
        samples = [Sample(unit="u", index=i, uid=str(i), key=str(i), url=web.url(url)) for i, url in enumerate(urls)]
        samples.append(Sample(unit="u", index=99, uid="99", key="99"))
        kept, out = run_stage(samples, FetchImage(FetchSettings(allow_private_hosts=True, concurrency=3, retries=0)))
    assert [s.index for s in kept] == [i for i in range(20) if i % 2 == 0]
    assert {s.image.shape for s in kept} == {(100, 200, 3)} and {(s.width, s.height) for s in kept} == {(200, 100)}
    assert {s.download_bytes for s in kept} == {len(jpeg(200, 100, "red"))}
    assert {r.sample.download_bytes is not None for r in out if r.reason == Reason.NOT_AN_IMAGE} == {True}
    assert not any(r.sample.download_bytes for r in out if r.reason in (Reason.HTTP_404, Reason.MISSING_URL))
    assert {r.reason for r in out} == {Reason.HTTP_404, Reason.NOT_AN_IMAGE, Reason.MISSING_URL}
    assert len(out) == 11


@pytest.mark.parametrize(
    "stage",
    [
        FetchImage(),
        ScoreCLIP(CLIP, min_score=0.3),
        AestheticFilter("head.pth"),
        OCRFilter(),
        CaptionImage(CaptionModel("llava")),
        RescoreCaption(CLIP),
        Checkpoint("out", 1),
    ],
    ids=lambda stage: type(stage).__name__,
)
def test_stages_are_small_to_ship(stage):
    """Models are loaded by workers, never pickled into the graph."""
    assert len(pickle.dumps({k: v for k, v in vars(stage).items() if k != "label"})) < 5_000


@pytest.mark.parametrize(
    "build",
    [
        lambda: ScoreCLIP(CLIP, min_score=30),
        lambda: AestheticFilter("head.pth", min_score=0.45),
        lambda: FetchSettings(concurrency=0),
    ],
)
def test_values_off_their_scale_are_refused(build):
    with pytest.raises(ValueError):
        build()
