"""What the first bytes of a picture say: its format and size, read before a decoder sees it.

Decoders allocate by these numbers, some already when a file is opened; so they are checked first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# A JPEG marker: 0xFF bytes, then a code. 0x00 is a stuffed 0xFF of the pixel data, 0xD0-0xD7 are restarts inside it.
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0-SOF15, without DHT, JPG and DAC
_JPEG_SCAN = 0xDA
_JPEG_END = 0xD9
_JPEG_BARE = frozenset({0x01, 0xD8})  # TEM and SOI have no length field


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format ("JPEG", "PNG", "WEBP", "GIF") and size in pixels as stored, before any orientation is applied.

    A size of 0 x 0 means that the header is broken.
    """

    format: str
    width: int
    height: int
    scans: int = 1  # of a JPEG; each one is a pass over all its pixels


def read_header(data: bytes) -> ImageHeader | None:
    """Reads a picture's header; None if it is no JPEG, PNG, WebP or GIF at all."""
    if data.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        is_whole = data[12:16] == b"IHDR" and len(data) >= 24
        return ImageHeader("PNG", *((_big(data, 16, 4), _big(data, 20, 4)) if is_whole else (0, 0)))
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ImageHeader("GIF", *_gif_size(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageHeader("WEBP", *_webp_size(data))
    return None


def _big(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "big")


def _little(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")


def _read_jpeg(data: bytes) -> ImageHeader:
    """Walks the markers (ITU-T T.81, annex B) as libjpeg does: what is between two segments is skipped."""
    width = height = scans = 0
    at = 2
    while (found := _JPEG_MARKER.search(data, at)) is not None:
        code = found.group(1)[0]
        at = found.end()
        if code == _JPEG_END:
            break
        if code in _JPEG_BARE:
            continue
        if code == _JPEG_SCAN:
            scans += 1
        elif code in _JPEG_FRAMES and at + 7 <= len(data):
            height, width = max(height, _big(data, at + 3, 2)), max(width, _big(data, at + 5, 2))
        at += max(2, _big(data, at, 2))
    return ImageHeader("JPEG", width, height, scans)


def _gif_size(data: bytes) -> tuple[int, int]:
    """The canvas, enlarged where the first frame sticks out of it, as Pillow does."""
    if len(data) < 13:
        return 0, 0
    width, height = _little(data, 6, 2), _little(data, 8, 2)
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while at < len(data):
        block = data[at]
        if block == 0x2C and at + 9 <= len(data):  # image descriptor
            left, top, wide, high = (_little(data, at + 1 + 2 * i, 2) for i in range(4))
            return max(width, left + wide), max(height, top + high)
        at += 1
        if block == 0x21:  # extension: a label, then sub-blocks until an empty one
            at += 1
            while at < len(data) and data[at]:
                at += data[at] + 1
            at += 1
        elif block == 0x3B:  # the end
            break
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    """The canvas (RFC 9649): of an extended file, else of its one lossy or lossless picture."""
    if len(data) < 30:
        return 0, 0
    kind = data[12:16]
    if kind == b"VP8X":
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if kind == b"VP8 ":
        return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0
