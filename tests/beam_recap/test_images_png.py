"""The quick way of PNGs gives what Pillow gives."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support.pictures import decoded, draw_photo, encode, png_chunk, png_of, reason_of

from beam_recap.images.png import decode_png_quickly
from beam_recap.records import Reason

PHOTO = draw_photo(301, 203)
EXIF = Image.Exif()
EXIF[0x0112] = 6
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("Comment", "x" * 10_000, zip=True)


def half_transparent() -> Image.Image:
    image = PHOTO.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize("image", [PHOTO, half_transparent()], ids=["rgb", "rgba"])
@pytest.mark.parametrize(
    "options", [{}, {"compress_level": 0}, {"exif": EXIF}, {"pnginfo": TEXT}], ids=["plain", "stored", "turned", "text"]
)
def test_same_as_pillow(monkeypatch: pytest.MonkeyPatch, image: Image.Image, options: dict[str, Any]) -> None:
    data = encode(image, "PNG", **options)
    assert decode_png_quickly(data, image.size) is not None
    quick = decoded(data, image_size=200, read_exif=True)
    monkeypatch.setattr("beam_recap.images.decode._QUICK_WAYS", {})
    slow = decoded(data, image_size=200, read_exif=True)
    assert np.array_equal(quick.image, slow.image)
    assert (quick.width, quick.height, quick.exif) == (slow.width, slow.height, slow.exif)
    assert quick.width == (203 if "exif" in options else 301)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16"])
def test_other_kinds_are_pillows(mode: str) -> None:
    data = encode(PHOTO.convert(mode), "PNG")
    assert decode_png_quickly(data, PHOTO.size) is None
    assert decoded(data).image.shape == (203, 301, 3)


def test_transparent_colour_is_pillows() -> None:
    rows = b"".join(b"\0" + bytes([1, 2, 3] * 40) for _ in range(40))
    data = png_of(40, 40, 8, 2, zlib.compress(rows), png_chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3])))
    assert decode_png_quickly(data, (40, 40)) is None
    assert decoded(data).image.min() == 255


@pytest.mark.parametrize("at", [0.3, 0.6, 0.95])
def test_wrong_bits_are_found(at: float) -> None:
    data = bytearray(encode(PHOTO, "PNG"))
    data[int(len(data) * at)] ^= 1
    assert decode_png_quickly(bytes(data), PHOTO.size) is None
    assert reason_of(bytes(data)) == Reason.CORRUPT


def test_other_size_than_the_headers_is_refused() -> None:
    assert decode_png_quickly(encode(PHOTO, "PNG"), (301, 204)) is None
