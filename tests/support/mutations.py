"""Damages pictures as storage, networks and attackers do: the engine of the decoder's fuzz tests.

A mutated file depends on the seed and its number alone, so whatever is found can be made again.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image
from support.pictures import draw_photo, encode

_SIZES = (0, 1, 2, 8, 63, 255, 256, 4095, 16_383, 16_384, 32_767, 32_768, 65_500, 65_535)
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


def make_seeds() -> list[bytes]:
    """Whole files of every format and of many kinds, small so that many mutations can be tried."""
    photo, grey = draw_photo(90, 70), draw_photo(90, 70).convert("L")
    clear = draw_photo(90, 70)
    clear.putalpha(Image.linear_gradient("L").resize((90, 70)))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera & Sons"
    frames = {"save_all": True, "append_images": [photo.rotate(90), photo.rotate(180)], "duration": 50}
    deep = Image.new("I;16", (90, 70))
    return [
        encode(photo, "JPEG", quality=80, exif=exif),
        encode(photo, "JPEG", quality=80, progressive=True),
        encode(photo, "JPEG", subsampling="4:4:4", restart_marker_rows=1),
        encode(grey, "JPEG"),
        encode(photo.convert("CMYK"), "JPEG", exif=exif),
        encode(photo, "MPO", save_all=True, append_images=[photo]),
        encode(draw_photo(500, 300), "JPEG", quality=60),
        encode(photo, "PNG", exif=exif),
        encode(clear, "PNG"),
        encode(photo.quantize(16), "PNG", transparency=3),
        encode(grey.convert("1"), "PNG"),
        encode(deep, "PNG"),
        encode(photo, "PNG", **frames),
        encode(photo, "WEBP", quality=70, exif=exif),
        encode(clear, "WEBP", quality=70),
        encode(photo, "WEBP", lossless=True),
        encode(photo, "WEBP", **frames),
        encode(photo, "GIF"),
        encode(clear, "GIF"),
        encode(photo, "GIF", **frames),
        encode(photo, "AVIF", exif=exif, speed=10),
        encode(clear, "AVIF", speed=10),
        encode(photo, "AVIF", speed=10, **frames),
    ]


def mutate(seeds: list[bytes], seed: int, number: int) -> bytes:
    """Mutated file `number`: one of the seeds with one to four damages."""
    generator = random.Random(f"{seed}/{number}")
    data = generator.choice(seeds)
    for _ in range(generator.choice((1, 1, 1, 2, 2, 4))):
        data = generator.choice(_DAMAGES)(data, generator, seeds)
    return _with_checksums(data) if generator.random() < 0.7 else data


def _flip_bits(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    damaged = bytearray(data)
    reach = generator.choice((64, 400, len(data)))
    for _ in range(generator.choice((1, 2, 8, 40))):
        if damaged:
            damaged[generator.randrange(min(reach, len(damaged)))] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def _set_bytes(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    damaged = bytearray(data)
    for _ in range(generator.choice((1, 3, 20))):
        if damaged:
            damaged[generator.randrange(len(damaged))] = generator.choice(
                (0, 0xFF, 0xD8, 0xDA, generator.randrange(256))
            )
    return bytes(damaged)


def _cut(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    return data[: generator.randrange(len(data) + 1)]


def _remove(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + data[at + generator.choice((1, 2, 4, 16, 256)) :]


def _insert(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + generator.randbytes(generator.choice((1, 2, 4, 16, 256))) + data[at:]


def _splice(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    """The beginning of one file and the end of another."""
    other = generator.choice(seeds)
    return data[: generator.randrange(len(data) + 1)] + other[generator.randrange(len(other)) :]


def _set_number(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    """A number that is a limit of something, anywhere near the beginning."""
    length = generator.choice((1, 2, 4))
    number = generator.choice(_NUMBERS) & ((1 << 8 * length) - 1)
    at = generator.randrange(min(len(data), generator.choice((64, 600))) + 1)
    return data[:at] + number.to_bytes(length, generator.choice(("big", "little"))) + data[at + length :]


def _change_size(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    """Another width and height, where the format has them."""
    width, height = generator.choice(_SIZES), generator.choice(_SIZES)
    damaged = bytearray(data)
    if data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (at := data.find(marker)) >= 0:
                damaged[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif data.startswith(b"\x89PNG"):
        damaged[16:24] = struct.pack(">II", width, height)
    elif data.startswith(b"GIF"):
        at = 6 if generator.random() < 0.5 else data.find(b",", 13) + 5
        damaged[at : at + 4] = struct.pack("<HH", width, height)
    elif data.startswith(b"RIFF"):
        damaged[24:30] = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    elif (at := data.find(b"ispe")) >= 0:
        damaged[at + 8 : at + 16] = struct.pack(">II", width, height)
    return bytes(damaged)


def _repeat_segment(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    """One segment, chunk, block or box twice or many times over."""
    parts = list(_parts(data))
    if not parts:
        return data
    start, end = generator.choice(parts)
    return data[:end] + data[start:end] * generator.choice((1, 1, 3, 100)) + data[end:]


def _swap_segments(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    parts = list(_parts(data))
    if len(parts) < 2:
        return data
    (first, first_end), (second, second_end) = sorted(generator.sample(parts, 2))
    if first_end > second:
        return data
    middle = data[first_end:second]
    return data[:first] + data[second:second_end] + middle + data[first:first_end] + data[second_end:]


def _borrow_segment(data: bytes, generator: random.Random, seeds: list[bytes]) -> bytes:
    """A segment of another file of the same format."""
    others = [seed for seed in seeds if seed[:2] == data[:2] and seed != data]
    parts = list(_parts(data))
    if not others or not parts:
        return data
    other = generator.choice(others)
    theirs = list(_parts(other))
    if not theirs:
        return data
    start, end = generator.choice(theirs)
    at = generator.choice(parts)[generator.randrange(2)]
    return data[:at] + other[start:end] + data[at:]


_DAMAGES: tuple[Callable[[bytes, random.Random, list[bytes]], bytes], ...] = (
    _flip_bits,
    _flip_bits,
    _set_bytes,
    _cut,
    _remove,
    _insert,
    _splice,
    _set_number,
    _change_size,
    _repeat_segment,
    _swap_segments,
    _borrow_segment,
)


def _parts(data: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of the pieces that a file is made of, as far as they can be followed."""
    if data.startswith(b"\xff\xd8"):
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == 0xDA:
                end = len(data) - 2
            yield at, end
            at = end
        return
    if data.startswith(b"GIF"):
        for at in range(13, len(data)):
            if data[at] in (0x21, 0x2C):
                yield at, min(len(data), at + 20)
        return
    # PNG, RIFF and boxes: a length and a name.
    at = {b"\x89PNG": 8, b"RIFF": 12}.get(data[:4], 0)
    while at + 8 <= len(data):
        little = data.startswith(b"RIFF")
        length = int.from_bytes(data[at + 4 : at + 8] if little else data[at : at + 4], "little" if little else "big")
        end = at + (
            8 + length + (length & 1) if little else 12 + length if data.startswith(b"\x89") else max(8, length)
        )
        if end > len(data):
            return
        yield at, end
        at = end


def _with_checksums(data: bytes) -> bytes:
    """Right checksums for a PNG, right length for a WebP: else nearly every damage ends at those."""
    if data.startswith(b"RIFF"):
        return data[:4] + struct.pack("<I", max(0, len(data) - 8) & 0xFFFF_FFFF) + data[8:]
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts = [data[:8]]
    end = 8
    for start, end in _parts(data):
        body = data[start + 4 : end - 4]
        parts.append(data[start : start + 4] + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join([*parts, data[end:]])
