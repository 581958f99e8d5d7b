"""Decoding what strangers send: no bytes raise, and none cost much."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from support.pictures import decoded, draw_photo, encode, png_chunk, png_of, reason_of

from beam_recap.images import (
    MAX_JPEG_SCANS,
    DecodedImage,
    DecodeFailure,
    decode_image,
)
from beam_recap.images.headers import read_header
from beam_recap.records import Reason


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Bombs.


def _peak_bytes(data: bytes) -> tuple[object, int]:
    decode_image(encode(draw_photo(32, 32)))  # what is made once
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


def test_jpeg_with_two_frame_headers() -> None:
    """The larger one counts; and where it is not too large, the two contradict each other."""
    data = encode(draw_photo(64, 64), "JPEG")
    frame = data.index(b"\xff\xc0")
    second = bytearray(data[frame : frame + 19])
    for side, reason in ((40_000, Reason.TOO_MANY_PIXELS), (1_000, Reason.CORRUPT)):
        second[5:9] = struct.pack(">HH", side, side)
        assert reason_of(data[:frame] + bytes(second) + data[frame:]) == reason
        assert reason_of(data[: frame + 19] + bytes(second) + data[frame + 19 :]) == reason


def test_metadata_of_a_jpeg_cost_nothing() -> None:
    """Pillow would copy the whole EXIF once for each of its tags: 4 GB for this file."""
    entries = b"".join(struct.pack(">HHII", tag, 7, 900_000, 16) for tag in range(5000))
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + entries + bytes(1_000_000)
    segments = b"".join(_segment(0xE1, b"Exif\0\0" + exif[at : at + 65_000]) for at in range(0, len(exif), 65_000))
    for image in (draw_photo(64, 64), draw_photo(64, 64).convert("CMYK")):  # the second goes through Pillow
        data = encode(image, "JPEG")
        result, peak = _peak_bytes(data[:2] + segments + data[2:])
        assert isinstance(result, DecodedImage)
        assert peak < 4_000_000


def _segment(code: int, content: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def test_twelve_bits_are_not_supported() -> None:
    data = bytearray(encode(draw_photo(64, 64), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert reason_of(bytes(data)) == Reason.UNSUPPORTED_FORMAT


# What decoders raise.


class PanicException(BaseException):
    """As pyo3's, which is no Exception."""


def _failing_with(error: BaseException) -> Callable[..., None]:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PanicException("index out of bounds"), Reason.CORRUPT),
        (RecursionError("too deep"), Reason.CORRUPT),
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (OSError("out of memory error when reading image file"), Reason.OUT_OF_MEMORY),
    ],
)
def test_any_exception_is_the_row_s(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: Reason, image_format: str
) -> None:
    monkeypatch.setattr("beam_recap.images.pillow.to_plain_mode", _failing_with(error))
    # The quick ways, after which Pillow decides.
    monkeypatch.setattr("cv2.imdecode", _failing_with(error))
    monkeypatch.setattr("beam_recap.images.png.ImageDecoder", _failing_with(error))
    assert reason_of(encode(draw_photo(64, 64), image_format)) == reason


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_ends_of_the_process_pass(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr("beam_recap.images.png.ImageDecoder", _failing_with(error))
    monkeypatch.setattr("simplejpeg.decode_jpeg", _failing_with(error))
    for image_format in ("PNG", "JPEG"):
        with pytest.raises(type(error)):
            decode_image(encode(draw_photo(64, 64), image_format))


@pytest.mark.parametrize("error", [PanicException("no"), ValueError("a warning of libjpeg"), OSError("no")])
def test_pillow_decides_where_the_quick_way_fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    data = encode(draw_photo(640, 480), "JPEG")
    quick = decoded(data, image_size=100)
    monkeypatch.setattr("simplejpeg.decode_jpeg", _failing_with(error))
    slow = decoded(data, image_size=100)
    assert (slow.width, slow.height) == (quick.width, quick.height)
    assert np.abs(slow.image.astype(int) - quick.image).max() <= 1
    assert reason_of(data[:-1000], image_size=100) == Reason.CORRUPT


def test_memory_that_runs_out_on_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simplejpeg.decode_jpeg", _failing_with(MemoryError()))
    assert reason_of(encode(draw_photo(64, 64), "JPEG")) == Reason.OUT_OF_MEMORY


def test_junk_between_segments_is_no_fault() -> None:
    """libjpeg warns of it; browsers show the picture."""
    data = encode(draw_photo(200, 150), "JPEG")
    tables = data.index(b"\xff\xdb")
    junk = data[:tables] + b"junk\xff\xff" + data[tables:]
    assert np.array_equal(decoded(junk).image, decoded(data).image)
