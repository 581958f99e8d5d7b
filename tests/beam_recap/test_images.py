"""Decoding: every kind of picture comes out upright and RGB, and no bytes do harm."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from support.pictures import decoded, draw_photo, encode, png_of, reason_of

from beam_recap.image_headers import read_header
from beam_recap.images import (
    DecodeSettings,
    encode_thumbnail,
)
from beam_recap.records import Reason

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Formats and modes.


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_formats(image_format: str) -> None:
    photo = draw_photo(120, 80)
    result = decoded(encode(photo, image_format))
    assert (result.width, result.height, result.format) == (120, 80, image_format)
    assert result.image.shape == (80, 120, 3)
    assert np.abs(result.image.astype(int) - np.asarray(photo)).mean() < 12  # a GIF has 256 colours


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"MM\0*\0\0\0\x08\0\0"}])
def test_kinds_of_webp(options: dict[str, object]) -> None:
    assert decoded(encode(draw_photo(101, 67), "WEBP", **options)).image.shape == (67, 101, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_modes_without_alpha(mode: str) -> None:
    image = Image.new("RGB", (40, 40), WHITE)
    image.paste((0, 0, 0), (0, 0, 20, 40))
    pixels = decoded(encode(image.convert(mode))).image
    assert (pixels[:, :20] == 0).all()
    assert (pixels[:, 20:] == 255).all()


def test_cmyk() -> None:
    pixels = decoded(encode(Image.new("RGB", (64, 64), RED).convert("CMYK"), "JPEG", quality=95)).image
    assert np.abs(pixels[32, 32].astype(int) - RED).max() < 12


def test_grey_of_16_bits_is_scaled() -> None:
    values = np.linspace(0, 65535, 256 * 64).reshape(64, 256).astype(np.uint16)
    pixels = decoded(encode(Image.fromarray(values))).image
    assert np.abs(pixels[..., 0].astype(float) - values / 257).max() <= 0.5
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_colour_of_16_bits() -> None:
    raw = zlib.compress((b"\0" + struct.pack(">HHH", 65535, 32768, 0) * 40) * 40)
    pixels = decoded(png_of(40, 40, 16, 2, raw)).image
    assert np.abs(pixels[20, 20].astype(int) - (255, 128, 0)).max() <= 1


@pytest.mark.parametrize(
    "encode",
    [
        lambda image: encode(image),
        lambda image: encode(image, "WEBP", lossless=True, exact=True),
        lambda image: encode(image, "GIF"),
        lambda image: encode(image.convert("LA")),
        lambda image: encode(image.quantize(4)),
    ],
    ids=["rgba", "webp", "gif", "la", "palette"],
)
def test_transparent_parts_are_white(encode: object) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (20, 0, 40, 40))  # black below the transparency
    pixels = decoded(encode(image)).image  # type: ignore[operator]
    assert (pixels[:, :20] == 0).all()
    assert (pixels[:, 20:] == 255).all()


def test_half_transparent() -> None:
    pixels = decoded(encode(Image.new("RGBA", (40, 40), (255, 0, 0, 128)))).image
    assert np.abs(pixels[20, 20].astype(int) - (255, 127, 127)).max() <= 1


@pytest.mark.parametrize(("mode", "transparent"), [("L", 7), ("RGB", (7, 7, 7)), ("P", 0), ("1", 0)])
def test_transparent_colour(mode: str, transparent: object) -> None:
    image = Image.new("L", (40, 40), 200)
    image.paste(7, (20, 0, 40, 40))
    if mode == "1":
        image = image.point(lambda value: 255 * (value > 100))
    if mode == "P":
        image = image.point(lambda value: int(value > 100))
        image.putpalette([7, 7, 7, 200, 200, 200])
    image = image if image.mode == mode else image.convert(mode)
    pixels = decoded(encode(image, transparency=transparent)).image
    assert (pixels[:, 20:] == 255).all()
    assert (pixels[:, :20] == (255 if mode == "1" else 200)).all()


def test_transparent_colour_of_16_bit_grey() -> None:
    values = np.full((40, 40), 1000, np.uint16)
    values[:, 20:] = 30000
    pixels = decoded(encode(Image.fromarray(values), transparency=1000)).image
    assert (pixels[:, :20] == 255).all()
    assert (pixels[:, 20:] == 117).all()


def test_alpha_does_not_bleed_when_shrunk() -> None:
    """The colour below transparent pixels must not come out at the edges."""
    image = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 200, 400))
    pixels = decoded(encode(image), image_size=100).image.astype(int)
    assert (pixels[..., 0] <= pixels[..., 2]).all()  # blue to white, never towards red


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(image_format: str) -> None:
    frames = [Image.new("RGB", (48, 48), color) for color in (GREEN, RED, BLUE)]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:], duration=100)
    assert np.abs(decoded(data).image[24, 24].astype(int) - GREEN).max() < 12


def test_multi_picture_jpeg() -> None:
    data = encode(Image.new("RGB", (48, 48), RED), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 48))])
    result = decoded(data)
    assert result.format == "JPEG"
    assert np.abs(result.image[24, 24].astype(int) - RED).max() < 12


# Orientation.


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
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


# Size.


@pytest.mark.parametrize(
    ("size", "image_size", "expected"),
    [
        ((640, 427), 336, (336, 224)),
        ((427, 640), 336, (224, 336)),
        ((300, 200), 336, (300, 200)),
        ((336, 336), 336, (336, 336)),
        ((4000, 40), 100, (100, 1)),
    ],
)
def test_shrinks_and_never_enlarges(size: tuple[int, int], image_size: int, expected: tuple[int, int]) -> None:
    for image_format in ("JPEG", "PNG"):
        result = decoded(encode(draw_photo(*size), image_format), image_size=image_size)
        assert result.image.shape == (expected[1], expected[0], 3)
        assert (result.width, result.height) == size


@pytest.mark.parametrize("size", [(1201, 903), (1630, 1207), (401, 333)])
@pytest.mark.parametrize("progressive", [False, True])
def test_shrinking_is_like_bicubic_from_the_full_size(size: tuple[int, int], progressive: bool) -> None:
    data = encode(draw_photo(*size), "JPEG", quality=90, progressive=progressive)
    result = decoded(data, image_size=200).image
    full = Image.open(io.BytesIO(data)).resize((result.shape[1], result.shape[0]), Image.Resampling.BICUBIC)
    error = np.mean((result.astype(float) - np.asarray(full)) ** 2)
    assert error < 255**2 / 10 ** (40 / 10)  # PSNR above 40 dB
    # Not shifted by a part of a pixel either.
    assert abs((result.astype(float) - np.asarray(full)).mean()) < 0.5


@pytest.mark.parametrize(
    ("size", "settings", "reason"),
    [
        ((31, 100), {}, Reason.TOO_SMALL),
        ((100, 31), {}, Reason.TOO_SMALL),
        ((1, 1), {}, Reason.TOO_SMALL),
        ((100, 100), {"max_pixels": 9999}, Reason.TOO_MANY_PIXELS),
        ((400, 100), {"max_aspect_ratio": 3.9}, Reason.TOO_ELONGATED),
        ((100, 400), {"max_aspect_ratio": 3.9}, Reason.TOO_ELONGATED),
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_sizes_that_are_refused(
    size: tuple[int, int], settings: dict[str, object], reason: Reason, image_format: str
) -> None:
    assert reason_of(encode(draw_photo(*size), image_format), **settings) == reason


def test_sizes_at_the_limits() -> None:
    data = encode(draw_photo(400, 100))
    assert decoded(data, max_aspect_ratio=4.0, max_pixels=40_000, min_image_size=100, image_size=400).width == 400


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_header_agrees_with_the_decoder(image_format: str) -> None:
    for size in ((1, 1), (33, 70), (257, 129)):
        header = read_header(encode(draw_photo(*size), image_format))
        assert header is not None
        assert (header.format, header.width, header.height) == (image_format, *size)


# The rest.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_pixels", 0),
        ("min_image_size", 0),
        ("image_size", 1.5),
        ("max_aspect_ratio", 0.5),
        ("max_aspect_ratio", np.nan),
    ],
)
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        DecodeSettings(**{field: value})  # type: ignore[arg-type]


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
