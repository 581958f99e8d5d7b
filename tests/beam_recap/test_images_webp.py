"""The quick way of WebPs gives what Pillow gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.pictures import decoded, draw_photo, encode, reason_of

from beam_recap.images.webp import decode_webp_quickly
from beam_recap.records import Reason

PHOTO = draw_photo(301, 203)
EXIF = Image.Exif()
EXIF[0x0112] = 6


def without_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.images.decode._QUICK_WAYS", {})


@pytest.mark.parametrize(
    "options",
    [{}, {"quality": 30}, {"lossless": True}, {"exif": EXIF}, {"lossless": True, "exif": EXIF}, {"icc_profile": b"x"}],
    ids=["lossy", "rough", "lossless", "turned", "lossless and turned", "profile"],
)
def test_same_as_pillow(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    data = encode(PHOTO, "WEBP", **options)
    assert decode_webp_quickly(data, PHOTO.size) is not None
    quick = decoded(data, image_size=200, read_exif=True)
    without_quick_way(monkeypatch)
    slow = decoded(data, image_size=200, read_exif=True)
    assert np.array_equal(quick.image, slow.image)
    assert (quick.width, quick.height, quick.exif) == (slow.width, slow.height, slow.exif)
    assert quick.width == (203 if "exif" in options else 301)


@pytest.mark.parametrize("options", [{}, {"lossless": True}], ids=str)
def test_transparent_pictures_are_pillows(options: dict[str, Any]) -> None:
    image = PHOTO.convert("RGBA")
    image.putalpha(Image.new("L", image.size, 128))
    data = encode(image, "WEBP", **options)
    assert decode_webp_quickly(data, image.size) is None
    assert decoded(data).image.mean() > np.asarray(PHOTO).mean() + 20  # half of it is white


def test_animations_are_pillows() -> None:
    data = encode(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(180)], duration=100)
    assert decode_webp_quickly(data, PHOTO.size) is None
    assert np.abs(decoded(data).image.astype(int) - np.asarray(PHOTO)).mean() < 10


def test_broken_pictures_are_pillows() -> None:
    data = encode(PHOTO, "WEBP")
    assert decode_webp_quickly(data[: len(data) // 2], PHOTO.size) is None
    assert decode_webp_quickly(data, (301, 204)) is None
    assert reason_of(data[: len(data) // 2]) == Reason.CORRUPT
