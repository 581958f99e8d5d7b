"""Decoding at a fraction of the size changes nothing that a model would see.

The reference is what CLIP's and LLaVA's own preprocessing does: a full decode and a bicubic resize, both by Pillow.
"""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.pictures import decoded
from support.web_corpus import Picture, make_corpus

from beam_recap.demo import paths
from beam_recap.demo.draw import draw_scene, random_aspect
from beam_recap.demo.scenes import describe, random_scene
from beam_recap.images.geometry import plan_reduction

IMAGE_SIZE = 336  # px: the larger of CLIP's and LLaVA's inputs
MIN_MEDIAN_DB = 50
MIN_5TH_PERCENTILE_DB = 38
MAX_CLIP_CHANGE = 0.005  # of a cosine, on average


@pytest.fixture(scope="module")
def web() -> list[Picture]:
    return make_corpus("web", 60)


@pytest.fixture(scope="module")
def large() -> list[Picture]:
    return make_corpus("large", 25)


def quick(data: bytes) -> np.ndarray:
    """What the pipeline gives to models, RGB, uint8 `[H, W, 3]`."""
    return decoded(data, image_size=IMAGE_SIZE).image


def full(data: bytes) -> np.ndarray:
    """The same from a full decode with Pillow and its bicubic filter."""
    with Image.open(io.BytesIO(data)) as image:
        if image.has_transparency_data:
            stored = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        else:
            stored = image
        plain = stored.convert("RGB")
    scale = min(1.0, IMAGE_SIZE / max(plain.size))
    size = (round(plain.width * scale), round(plain.height * scale))
    return np.asarray(plain.resize(size, Image.Resampling.BICUBIC))


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB; 100 if they are equal."""
    error = np.mean((image.astype(float) - reference) ** 2)
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def reduced(pictures: list[Picture]) -> list[Picture]:
    """The pictures that are decoded at a fraction of their size."""
    chosen = []
    for picture in pictures:
        height, width = quick(picture.data).shape[:2]
        if picture.format == "JPEG" and plan_reduction((picture.width, picture.height), (width, height)) > 1:
            chosen.append(picture)
    return chosen


@pytest.mark.parametrize("kind", ["web", "large"])
def test_pixels(kind: str, request: pytest.FixtureRequest) -> None:
    pictures = request.getfixturevalue(kind)
    bigger = [picture for picture in pictures if max(picture.width, picture.height) > IMAGE_SIZE]
    assert len(bigger) >= 20
    ratios = [psnr(quick(picture.data), full(picture.data)) for picture in bigger]
    assert np.median(ratios) >= MIN_MEDIAN_DB
    assert np.percentile(ratios, 5) >= MIN_5TH_PERCENTILE_DB


def test_pixels_of_what_is_decoded_at_a_fraction(large: list[Picture]) -> None:
    pictures = reduced(large)
    assert len(pictures) >= 5
    ratios = [psnr(quick(picture.data), full(picture.data)) for picture in pictures]
    assert np.median(ratios) >= MIN_MEDIAN_DB
    assert min(ratios) >= MIN_5TH_PERCENTILE_DB


def test_what_is_not_resized_is_exact(web: list[Picture]) -> None:
    small = [picture for picture in web if max(picture.width, picture.height) <= IMAGE_SIZE]
    assert len(small) >= 10
    for picture in small:
        assert np.abs(quick(picture.data).astype(int) - full(picture.data)).max() <= 1, picture.name


@pytest.fixture(scope="module")
def scorer() -> Any:
    from beam_recap.models.clip_scorer import ClipScorer

    return ClipScorer.load(str(paths.CLIP), None, device="cpu")


def large_scenes(count: int) -> list[tuple[bytes, str]]:
    """The demonstration's scenes as large JPEGs, with their captions."""
    rng = random.Random(7)
    scenes = []
    for number in range(count):
        scene = random_scene(rng, held_out=True)
        image = draw_scene(scene, rng, side=rng.randint(1400, 3000), aspect=random_aspect(scene, rng))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(75, 95), progressive=number % 4 == 0)
        scenes.append((buffer.getvalue(), describe(scene)))
    return scenes


def changes(scorer: Any, rows: list[tuple[bytes, str]]) -> np.ndarray:
    """By how much the CLIP score of each row moves."""
    captions = [caption for _, caption in rows]
    ours = scorer.score([quick(data) for data, _ in rows], captions)
    theirs = scorer.score([full(data) for data, _ in rows], captions)
    return np.abs([one.score - other.score for one, other in zip(ours, theirs, strict=True)])


def test_clip_scores_of_the_demonstration(scorer: Any) -> None:
    rows = large_scenes(40)
    assert all(max(Image.open(io.BytesIO(data)).size) >= 4 * IMAGE_SIZE for data, _ in rows)
    assert changes(scorer, rows).mean() < MAX_CLIP_CHANGE


@pytest.mark.parametrize("kind", ["web", "large"])
def test_clip_scores_of_the_corpus(scorer: Any, kind: str, request: pytest.FixtureRequest) -> None:
    captions = [caption for _, caption in large_scenes(1)] * 60
    rows = [(picture.data, caption) for picture, caption in zip(request.getfixturevalue(kind), captions, strict=False)]
    assert changes(scorer, rows).mean() < MAX_CLIP_CHANGE
