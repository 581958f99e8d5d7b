"""The header of an AVIF: its boxes, and what its AV1 streams would make a decoder allocate."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from PIL import Image, features
from support.pictures import decoded, draw_photo, encode, reason_of

from beam_recap.images.av1_header import read_coded_pixels
from beam_recap.images.avif_header import is_avif, read_avif
from beam_recap.images.boxes import MAX_PARTS
from beam_recap.records import Reason

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of some content."""
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


FILE_TYPE = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")


def test_size_and_streams() -> None:
    size = read_avif(encode(draw_photo(120, 64), "AVIF"))
    assert size is not None
    assert (size.width, size.height, size.coded_pixels) == (120, 64, 120 * 64)


def test_transparency_is_a_second_stream() -> None:
    image = draw_photo(120, 64)
    image.putalpha(Image.linear_gradient("L").resize((120, 64)))
    size = read_avif(encode(image, "AVIF"))
    assert size is not None
    assert size.coded_pixels == 2 * 120 * 64


def test_animation() -> None:
    data = encode(draw_photo(120, 64), "AVIF", save_all=True, append_images=[draw_photo(120, 64)] * 3)
    size = read_avif(data)
    assert size is not None
    assert (size.width, size.height) == (120, 64)
    # The size of a frame is only known to a power of two there; the still and the track are one stream each.
    assert size.coded_pixels in (128 * 64, 2 * 128 * 64)


def test_brands() -> None:
    assert is_avif(FILE_TYPE)
    assert is_avif(box(b"ftyp", b"mif1\0\0\0\0mif1avif"))
    assert not is_avif(box(b"ftyp", b"mif1\0\0\0\0mif1heic"))
    assert not is_avif(b"avif" * 10)


def _with_stream_of(data: bytes, width: int, height: int) -> bytes:
    """The same boxes, with a stream whose sequence header claims another size (it takes the frame's place)."""
    bits = format((0 << 5) | (1 << 4) | (1 << 3), "08b")[:5] + "00000" + "1111" * 2
    bits += format(width - 1, "016b") + format(height - 1, "016b")
    bits += "0" * (-len(bits) % 8)
    content = int(bits, 2).to_bytes(len(bits) // 8, "big") + bytes(20)
    unit = bytes([1 << 3 | 2, len(content)]) + content
    start = data.index(b"mdat") + 4
    return data[:start] + unit + data[start + len(unit) :]


def test_a_stream_larger_than_its_boxes_say() -> None:
    data = _with_stream_of(encode(draw_photo(120, 64), "AVIF"), 16_384, 16_384)
    size = read_avif(data)
    assert size is not None
    assert (size.width, size.height, size.coded_pixels) == (120, 64, 16_384 * 16_384)
    assert reason_of(data) == Reason.TOO_MANY_PIXELS


def test_the_size_of_a_bomb_in_a_box() -> None:
    data = bytearray(encode(draw_photo(120, 64), "AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 30_000, 30_000)
    assert reason_of(bytes(data)) == Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "data",
    [
        FILE_TYPE,
        FILE_TYPE + box(b"meta", bytes(4)),
        FILE_TYPE + box(b"meta", bytes(4), box(b"iprp", box(b"ipco", box(b"ispe", bytes(5))))),
        FILE_TYPE + box(b"free") * (MAX_PARTS + 1),
        FILE_TYPE + b"\0\0\0\x01meta" + b"\xff" * 8,
        FILE_TYPE + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stsd", bytes(8))))))),
        b"\0\0\0\x1cftypavif" + bytes(50),
    ],
)
def test_broken_boxes(data: bytes) -> None:
    assert read_avif(data) is None
    assert reason_of(data) == Reason.CORRUPT


def test_streams_in_one_place_take_no_memory() -> None:
    """2000 items that are all the whole file would be 2 GB."""
    extents = b"".join(struct.pack(">HHHII", item, 0, 1, 0, 1_000_000) for item in range(2000))
    locations = box(b"iloc", b"\0\0\0\0", b"\x44\x00", struct.pack(">H", 2000), extents)
    infos = b"".join(box(b"infe", b"\2\0\0\0", struct.pack(">HH", item, 0), b"av01") for item in range(2000))
    properties = box(b"iprp", box(b"ipco", box(b"ispe", bytes(4), struct.pack(">II", 64, 64))))
    meta = box(b"meta", bytes(4), locations, box(b"iinf", bytes(4), struct.pack(">H", 2000), infos), properties)
    data = FILE_TYPE + meta + bytes(1_000_000)
    tracemalloc.start()
    assert read_avif(data) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_item_locations_are_bounded() -> None:
    """A table that says it has 65,535 items of 65,535 extents each is not walked."""
    locations = box(b"iloc", b"\0\0\0\0", b"\x44\x00", b"\xff\xff", bytes(200))
    infos = box(b"iinf", bytes(6))
    properties = box(b"iprp", box(b"ipco", box(b"ispe", bytes(4), struct.pack(">II", 64, 64))))
    assert read_avif(FILE_TYPE + box(b"meta", bytes(4), locations, infos, properties)) is None


def test_sequence_headers() -> None:
    # still_picture, reduced header, level 0, 16 bits each: 640 x 480
    bits = "000" + "1" + "1" + "00000" + "1111" + "1111" + format(639, "016b") + format(479, "016b")
    bits += "0" * (-len(bits) % 8)
    header = int(bits, 2).to_bytes(len(bits) // 8, "big")
    unit = bytes([1 << 3 | 2, len(header)]) + header
    delimiter = b"\x12\0"
    assert read_coded_pixels([delimiter + unit, unit]) == 2 * 640 * 480
    assert read_coded_pixels([delimiter, b""]) == 0
    with pytest.raises(ValueError, match="cut"):
        read_coded_pixels([bytes([1 << 3 | 2, 2]) + header[:2]])
    with pytest.raises(ValueError, match="units"):
        read_coded_pixels([delimiter * 100_000])


def test_broken_exif_does_not_matter() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera & Sons"
    data = encode(draw_photo(64, 48), "AVIF", exif=exif)
    assert decoded(data, read_exif=True).exif == '{"Image Make": "Camera & Sons"}'
    directory = data.index(b"MM\0*") + 4
    broken = data[:directory] + b"\xff" * 4 + data[directory + 4 :]
    assert decoded(broken, read_exif=True).exif is None
    # libavif itself refuses what is no TIFF structure at all.
    assert reason_of(data.replace(b"MM\0*", b"oops")) == Reason.CORRUPT
