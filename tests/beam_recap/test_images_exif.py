"""EXIF as JSON: what a camera wrote, within bounds, whatever a stranger made of it."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from support.pictures import decoded, draw_photo, encode

from beam_recap.images.exif import MAX_JSON_BYTES, exif_to_json, read_orientation


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Camera & Sons"
    exif[0x0112] = 6
    exif[0x011A] = IFDRational(72, 1)
    exif.get_ifd(0x8769).update({0x829A: IFDRational(1, 60), 0x8827: 400, 0x927C: b"secret" * 99, 0x9000: b"0232"})
    exif.get_ifd(0x8825).update({1: "N", 2: (IFDRational(52, 1), IFDRational(31, 1), IFDRational(1234, 100))})
    return exif


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_names_and_texts(image_format: str) -> None:
    result = decoded(encode(draw_photo(64, 48), image_format, exif=_exif()), read_exif=True)
    assert result.exif is not None
    tags = json.loads(result.exif)
    if image_format == "AVIF":  # Pillow writes this one into a box instead
        tags["Image Orientation"] = "6"
    assert tags == {
        "Image Make": "Camera & Sons",
        "Image Orientation": "6",
        "Image XResolution": "72",
        "EXIF ExposureTime": "1/60",
        "EXIF ISOSpeedRatings": "400",
        "EXIF ExifVersion": "0232",
        "GPS GPSLatitudeRef": "N",
        "GPS GPSLatitude": "[52, 31, 617/50]",
    }


def test_only_where_it_was_asked_for() -> None:
    data = encode(draw_photo(64, 48), "JPEG", exif=_exif())
    assert decoded(data).exif is None
    assert decoded(encode(draw_photo(64, 48), "JPEG"), read_exif=True).exif is None


def _structure(order: str, *entries: tuple[int, int, int, int | bytes], tail: bytes = b"") -> bytes:
    """A TIFF structure with one directory; values of 4 bytes, or their offsets."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    content = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        content += struct.pack(order + "HHI", tag, kind, count)
        content += value if isinstance(value, bytes) else struct.pack(order + "I", value)
    return start + struct.pack(order + "I", 8) + content + bytes(4) + tail


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(order: str) -> None:
    exif = _structure(order, (0x0112, 3, 1, struct.pack(order + "HH", 8, 0)), (0x0100, 4, 1, 70_000))
    assert read_orientation(exif) == 8
    assert read_orientation(b"Exif\0\0" + exif) == 8
    assert json.loads(exif_to_json(exif) or "") == {"Image Orientation": "8", "Image ImageWidth": "70000"}


@pytest.mark.parametrize(
    "exif",
    [
        None,
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08",
        b"MM\0*\0\0\0\x08\0\x05" + b"\xff" * 5,
        b"nonsense" * 9,
    ],
)
def test_broken(exif: bytes | None) -> None:
    assert exif_to_json(exif) is None
    assert read_orientation(exif) == 1


@pytest.mark.parametrize(
    "entry", [(0x0112, 3, 1, b"\0\0\0\0"), (0x0112, 3, 1, b"\x09\0\0\0"), (0x0112, 3, 0, 6), (0x0112, 2, 4, b"6\0\0\0")]
)
def test_orientations_that_are_nonsense(entry: tuple[int, int, int, int | bytes]) -> None:
    assert read_orientation(_structure("<", entry)) == 1


def test_a_circle_of_directories() -> None:
    exif = _structure("<", (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x0100, 4, 1, 5))
    assert json.loads(exif_to_json(exif) or "") == {"Image ImageWidth": "5"}


def test_a_broken_tag_does_not_cost_the_others() -> None:
    exif = _structure("<", (0x010F, 2, 1_000_000, 8), (0x0110, 99, 1, 8), (0x0100, 4, 1, 5))
    assert json.loads(exif_to_json(exif) or "") == {"Image ImageWidth": "5"}


def test_a_broken_directory_does_not_cost_the_first() -> None:
    exif = _structure("<", (0x0100, 4, 1, 5), (0x8769, 4, 1, 10_000_000))
    assert json.loads(exif_to_json(exif) or "") == {"Image ImageWidth": "5"}


def test_many_tags_with_the_same_large_value_take_no_memory() -> None:
    tail = bytes(range(1, 256)) * 20_000
    entries = [(tag, 7, len(tail), 8 + 2 + 12 * 60_000 + 4) for tag in range(60_000)]
    exif = _structure("<", *entries, tail=tail)
    tracemalloc.start()
    text = exif_to_json(exif)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text is not None
    assert peak < 2_000_000
    assert len(text) < MAX_JSON_BYTES


def test_the_whole_is_bounded() -> None:
    tail = b"\x01\"'" * 2000
    entries = [(0xA000 + tag, 2, len(tail), 8 + 2 + 12 * 400 + 4) for tag in range(400)]
    text = exif_to_json(_structure("<", *entries, tail=tail))
    assert text is not None
    assert 40_000 < len(text.encode()) <= MAX_JSON_BYTES
    assert json.loads(text)


def test_long_values_are_shortened() -> None:
    entries = [(0xB000, 3, 1000, 8 + 2 + 24 + 4), (0xB001, 7, 1000, 8 + 2 + 24 + 4)]
    tags = json.loads(exif_to_json(_structure("<", *entries, tail=b"\xff\0" * 1000)) or "")
    assert tags["Image Tag 0xB000"].startswith("[255, 255, ")
    assert tags["Image Tag 0xB000"].endswith(", ...]")
    assert tags["Image Tag 0xB001"] == "0x" + "ff00" * 16 + "..."


def test_flipped_bits_never_raise() -> None:
    good = _exif().tobytes()
    generator = random.Random(0)
    for _ in range(3000):
        broken = bytearray(good)
        for _ in range(generator.choice((1, 2, 8))):
            broken[generator.randrange(len(broken))] = generator.randrange(256)
        text = exif_to_json(bytes(broken))
        assert text is None or json.loads(text)
        assert 1 <= read_orientation(bytes(broken)) <= 8
