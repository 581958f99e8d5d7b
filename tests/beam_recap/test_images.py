"""Every format and every kind of pixels comes out as RGB of 8 bits."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.pictures import decoded, draw_photo, encode, png_of

from beam_recap.images.headers import read_header

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "AVIF"]


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Formats and modes.


@pytest.mark.parametrize("image_format", FORMATS)
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


@pytest.mark.parametrize("image_size", [1536, 60])
def test_cmyk(image_size: int) -> None:
    """Inks are stored inverted, as Adobe does and as browsers assume; large ones are decoded at a fraction, too."""
    photo = draw_photo(640, 480)
    pixels = decoded(encode(photo.convert("CMYK"), "JPEG", quality=95), image_size=image_size).image
    expected = photo.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BICUBIC)
    assert np.abs(pixels.astype(int) - np.asarray(expected)).mean() < 3


@pytest.mark.parametrize("image_size", [1536, 60])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"keep_rgb": True}])
def test_kinds_of_jpeg(options: dict[str, object], image_size: int) -> None:
    photo = draw_photo(321, 240)
    for image in (photo, photo.convert("L")):
        data = encode(image, "JPEG", quality=95, **options)
        pixels = decoded(data, image_size=image_size).image
        full = Image.open(io.BytesIO(data)).convert("RGB")
        expected = full.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BICUBIC)
        assert np.abs(pixels.astype(int) - np.asarray(expected)).mean() < 1
        if image.mode == "L":
            assert (pixels[..., 0] == pixels[..., 2]).all()


def test_icc_profiles_are_ignored() -> None:
    photo = draw_photo(64, 64)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for image_format in ("JPEG", "PNG", "WEBP", "AVIF"):
        with_profile = decoded(encode(photo, image_format, icc_profile=profile)).image
        assert (with_profile == decoded(encode(photo, image_format)).image).all()


def test_alpha_of_16_bits() -> None:
    row = b"\0" + struct.pack(">HHHH", 65535, 0, 0, 65535) * 20 + struct.pack(">HHHH", 65535, 0, 0, 0) * 20
    pixels = decoded(png_of(40, 40, 16, 6, zlib.compress(row * 40))).image
    assert (pixels[:, :20] == RED).all()
    assert (pixels[:, 20:] == 255).all()


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
        lambda image: encode(image, "AVIF", quality=100, subsampling="4:4:4"),
        lambda image: encode(image.convert("LA")),
        lambda image: encode(image.quantize(4)),
    ],
    ids=["rgba", "webp", "gif", "avif", "la", "palette"],
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


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_first_frame_of_an_animation(image_format: str) -> None:
    frames = [Image.new("RGB", (48, 48), color) for color in (GREEN, RED, BLUE)]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:], duration=100)
    assert np.abs(decoded(data).image[24, 24].astype(int) - GREEN).max() < 12


def test_multi_picture_jpeg() -> None:
    data = encode(Image.new("RGB", (48, 48), RED), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 48))])
    result = decoded(data)
    assert result.format == "JPEG"
    assert np.abs(result.image[24, 24].astype(int) - RED).max() < 12


@pytest.mark.parametrize("image_format", FORMATS)
def test_header_agrees_with_the_decoder(image_format: str) -> None:
    for size in ((1, 1), (33, 70), (257, 129)):
        header = read_header(encode(draw_photo(*size), image_format))
        assert header is not None
        assert (header.format, header.width, header.height) == (image_format, *size)
