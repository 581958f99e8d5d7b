"""Pictures come out upright, whatever way they are stored."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.pictures import decoded, draw_photo, encode

from beam_recap.images.resize import turn_upright

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("image_format", ["JPEG", "CMYK", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("image_size", [1536, 60])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, image_size: int, image_format: str) -> None:
    upright = Image.new("RGB", (120, 64), WHITE)
    upright.paste(RED, (0, 0, 60, 32))
    upright.paste(BLUE, (60, 32, 120, 64))
    upright.paste(GREEN, (0, 32, 60, 64))
    # What a camera stores, so that turning it by the tag gives the upright picture.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    if image_format == "CMYK":  # a JPEG that does not go the quick way
        stored, image_format = stored.convert("CMYK"), "JPEG"
    result = decoded(encode(stored, image_format, exif=exif, quality=95), image_size=image_size)
    height, width = result.image.shape[:2]
    assert (result.width, result.height) == (120, 64)
    assert (width, height) == ((120, 64) if image_size == 1536 else (60, 32))
    for corner, color in {(0, 0): RED, (0, 1): WHITE, (1, 0): GREEN, (1, 1): BLUE}.items():
        pixel = result.image[height // 4 + corner[0] * height // 2, width // 4 + corner[1] * width // 2]
        assert np.abs(pixel.astype(int) - color).max() < 20, corner


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0" + b"\xff" * 40])
def test_broken_metadata_do_not_matter(exif: bytes) -> None:
    warnings.simplefilter("ignore")
    assert decoded(encode(draw_photo(64, 48), "JPEG", exif=exif)).image.shape == (48, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_as_pillow_does(orientation: int) -> None:
    pixels = np.arange(5 * 3 * 3, dtype=np.uint8).reshape(5, 3, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(encode(Image.fromarray(pixels), exif=exif))) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    turned = turn_upright(pixels, orientation)
    assert np.array_equal(turned, expected)
    assert turned.flags.c_contiguous


def test_cropping_is_counted_from_the_upright_picture() -> None:
    """Of an odd width, the odd column is cut at the right of what is seen, not of what is stored."""
    photo = draw_photo(301, 200)
    exif = Image.Exif()
    exif[0x0112] = 3
    settings = {"resize_mode": "center_crop", "image_size": 100}
    upright = decoded(encode(photo), **settings).image
    turned = decoded(encode(photo.transpose(Image.Transpose.ROTATE_180), exif=exif), **settings).image
    assert np.abs(turned.astype(int) - upright).max() <= 1


def test_orientation_of_an_avif_is_that_of_its_boxes() -> None:
    """Encoders write it to both; where only EXIF has it, it is a leftover."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(draw_photo(120, 64), "AVIF", exif=exif)
    assert decoded(data).image.shape == (120, 64, 3)
    angle = data.index(b"irot") + 4
    assert data[angle] == 3  # quarters of a turn
    assert decoded(data[:angle] + b"\0" + data[angle + 1 :]).image.shape == (64, 120, 3)
