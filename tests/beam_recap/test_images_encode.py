"""Pixels to files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.pictures import draw_photo

from beam_recap.images import encode_image, encode_thumbnail


def test_jpg_is_what_img2dataset_writes() -> None:
    import cv2

    pixels = np.asarray(draw_photo(336, 224))
    for quality in (75, 95):
        parameters = [int(cv2.IMWRITE_JPEG_QUALITY), quality]
        _, expected = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), parameters)
        data = encode_image(pixels, quality=quality)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), cv2.imdecode(expected, 1)[..., ::-1])
        assert abs(len(data) - len(expected)) < 100


def test_png_loses_nothing() -> None:
    pixels = np.asarray(draw_photo(100, 80))
    image = Image.open(io.BytesIO(encode_image(pixels, format="png")))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image), pixels)


def test_webp() -> None:
    pixels = np.asarray(draw_photo(100, 80))
    image = Image.open(io.BytesIO(encode_image(pixels, format="webp", quality=90)))
    assert image.format == "WEBP"
    assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 6
    assert len(encode_image(pixels, format="webp", quality=10)) < len(encode_image(pixels, format="webp", quality=90))


def test_slices_can_be_encoded() -> None:
    pixels = np.asarray(draw_photo(100, 80))[::2, ::-1]
    assert Image.open(io.BytesIO(encode_image(pixels))).size == (100, 40)


@pytest.mark.parametrize("options", [{"format": "gif"}, {"format": "jpeg"}, {"quality": 0}, {"quality": 101}])
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        encode_image(np.zeros((8, 8, 3), np.uint8), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (128, 96)), ((100, 50), (100, 50)), ((5000, 20), (128, 1))]
)
def test_thumbnail(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = draw_photo(*size)
    data = encode_thumbnail(np.asarray(photo))
    thumbnail = Image.open(io.BytesIO(data))
    assert (thumbnail.format, thumbnail.mode, thumbnail.size) == ("JPEG", "RGB", expected)
    assert len(data) < 20_000
    difference = np.asarray(thumbnail, dtype=float) - np.asarray(photo.resize(expected), dtype=float)
    assert np.abs(difference).mean() < 8
