"""What the first bytes of a picture say: its format and size, read before a decoder sees it.

Decoders allocate by these numbers, some already when a file is opened; so they are checked first.
"""

from __future__ import annotations

from dataclasses import dataclass

from beam_recap.images.avif_header import is_avif, read_avif
from beam_recap.images.jpeg_header import JpegFacts, read_jpeg

# Progressive pictures have about 10. A picture of 210 scans and 64 megapixels costs 9 seconds and 400 kB.
MAX_JPEG_SCANS = 64


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format ("JPEG", "PNG", "WEBP", "GIF", "AVIF") and size in pixels as stored, before it is turned upright.

    A size of 0 x 0 means that the header is broken. ``allocated_pixels`` is what the decoder may allocate at worst
    where that can be more than width times height, else 0. ``jpeg`` is set for JPEGs whose header is whole.
    """

    format: str
    width: int
    height: int
    scans: int = 1  # of a JPEG; each one is a pass over all its pixels. At least: it is not counted beyond the limit
    allocated_pixels: int = 0
    jpeg: JpegFacts | None = None


def read_header(data: bytes) -> ImageHeader | None:
    """Reads a picture's header; None if it is no JPEG, PNG, WebP, GIF or AVIF at all."""
    if data.startswith(b"\xff\xd8\xff"):
        facts = read_jpeg(data, MAX_JPEG_SCANS)
        return ImageHeader("JPEG", facts.width, facts.height, facts.scans, 0, facts) if facts else _broken("JPEG")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        if data[12:16] != b"IHDR" or len(data) < 24:
            return _broken("PNG")
        return ImageHeader("PNG", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ImageHeader("GIF", *_gif_size(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageHeader("WEBP", *_webp_size(data))
    if is_avif(data):
        size = read_avif(data)
        return _broken("AVIF") if size is None else ImageHeader("AVIF", size.width, size.height, 1, size.coded_pixels)
    return None


def _broken(image_format: str) -> ImageHeader:
    return ImageHeader(image_format, 0, 0)


def _little(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")


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
