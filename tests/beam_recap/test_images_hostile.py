"""Decoding what strangers send: no bytes raise, and none cost much."""

from __future__ import annotations

import random
import struct
import tracemalloc
import warnings
import zlib

import pytest
from PIL import Image
from support.pictures import decoded, draw_photo, encode, png_chunk, png_of, reason_of

from beam_recap.image_headers import read_header
from beam_recap.images import (
    MAX_JPEG_SCANS,
    DecodedImage,
    DecodeFailure,
    DecodeSettings,
    decode_image,
)
from beam_recap.records import Reason

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# No picture.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"<!DOCTYPE html><html></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b"BM" + bytes(100),
        b"II*\0" + bytes(100),
        b"DDS " + bytes(200),
        b"RIFF\x10\0\0\0WAVEfmt " + bytes(50),
        b"\0\0\0\x1cftypavif" + bytes(50),
        b"\xff\xd8" + bytes(50),
        bytes(10_000),
    ],
)
def test_not_an_image(data: bytes) -> None:
    assert reason_of(data) == Reason.NOT_AN_IMAGE


def test_bmp_and_tiff_are_not_decoded() -> None:
    for image_format in ("BMP", "TIFF", "ICO", "PPM"):
        assert reason_of(encode(draw_photo(64, 64), image_format)) == Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated(image_format: str, share: float) -> None:
    data = encode(draw_photo(200, 150), image_format)
    assert reason_of(data[: max(12, int(len(data) * share))]) == Reason.CORRUPT


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_flipped_bits_give_a_value_and_never_an_exception(image_format: str) -> None:
    warnings.simplefilter("ignore")
    data = encode(draw_photo(80, 60), image_format)
    generator = random.Random(image_format)
    kinds = set()
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(generator.choice((1, 3, 30))):
            broken[generator.randrange(min(len(data), generator.choice((64, len(data)))))] = generator.randrange(256)
        result = decode_image(bytes(broken), DecodeSettings(max_pixels=2_000_000))
        kinds.add(type(result))
    assert kinds == {DecodedImage, DecodeFailure}


# Bombs.


def _peak_bytes(data: bytes) -> tuple[object, int]:
    tracemalloc.start()
    result = decode_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


def test_png_bomb() -> None:
    row = zlib.compressobj(9)
    raw = b"".join(row.compress(bytes(20_001)) for _ in range(2000)) + row.flush()
    for side in (20_000, 8_000, 2**31 - 1):
        result, peak = _peak_bytes(png_of(side, side, 8, 0, raw))
        assert isinstance(result, DecodeFailure)
        assert result.reason == Reason.TOO_MANY_PIXELS
        assert peak < 2_000_000


def test_png_with_a_bomb_of_text() -> None:
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    good = zlib.compress((b"\0" + bytes(40)) * 40)
    assert reason_of(png_of(40, 40, 8, 0, good, bomb)) == Reason.CORRUPT


def test_two_headers_in_one_png() -> None:
    second = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    assert reason_of(png_of(40, 40, 8, 0, b"", second)) in (Reason.TOO_MANY_PIXELS, Reason.CORRUPT)


def test_jpeg_with_the_size_of_a_bomb() -> None:
    data = bytearray(encode(draw_photo(64, 64), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 40_000, 40_000)
    assert reason_of(bytes(data)) == Reason.TOO_MANY_PIXELS


def _jpeg_of_scans(extra: int) -> bytes:
    """A progressive JPEG with some of its scans repeated."""
    data = encode(draw_photo(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * extra + data[-2:]


def test_jpeg_with_too_many_scans() -> None:
    usual = read_header(_jpeg_of_scans(0)).scans
    assert 5 <= usual <= 12
    assert read_header(_jpeg_of_scans(20)).scans == usual + 20
    assert decoded(_jpeg_of_scans(0)).format == "JPEG"
    assert reason_of(_jpeg_of_scans(MAX_JPEG_SCANS + 1 - usual)) == Reason.TOO_MANY_PIXELS
    assert reason_of(_jpeg_of_scans(500)) == Reason.TOO_MANY_PIXELS


def test_scans_of_an_embedded_thumbnail_do_not_count() -> None:
    exif = b"Exif\0\0" + b"\xff\xda\0\x08" * 1000
    data = encode(draw_photo(64, 64), "JPEG", exif=exif)
    assert read_header(data).scans == 1
    warnings.simplefilter("ignore")
    assert decoded(data).width == 64


def test_gif_whose_first_frame_is_larger_than_its_canvas() -> None:
    head = b"GIF89a" + struct.pack("<HHBBB", 40, 40, 0x80, 0, 0) + bytes(6)
    note = b"!\xfe\x05hello\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 30_000, 30_000, 0) + b"\x02\x02\x44\x01\0;"
    assert read_header(head + note + frame).width == 30_000
    assert reason_of(head + note + frame) == Reason.TOO_MANY_PIXELS


def test_webp_with_the_canvas_of_a_bomb() -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    data = bytearray(encode(draw_photo(64, 64), "WEBP", exif=exif))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16_000).to_bytes(3, "little") * 2
    assert reason_of(bytes(data)) == Reason.TOO_MANY_PIXELS


def test_large_limits_bring_no_warning_of_pillow() -> None:
    image = Image.new("1", (10_000, 9_500))  # above Pillow's own limit for a warning
    assert decoded(encode(image), max_pixels=100_000_000, image_size=64).image.shape == (61, 64, 3)


def test_memory_that_runs_out_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("beam_recap.images._to_plain_mode", fail)
    assert reason_of(encode(draw_photo(64, 64))) == Reason.OUT_OF_MEMORY
