"""Drawn pictures and hand-made files for the tests of decoding."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from beam_recap.images import DecodedImage, DecodeFailure, DecodeSettings, decode_image
from beam_recap.records import Reason


def draw_photo(width: int, height: int) -> Image.Image:
    """Something with slopes, edges and a little noise."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 3, (height, width))
    red = 128 + 100 * np.sin(x / width * 7 + y / height * 3) + noise
    green = 255 * y / height + noise
    blue = np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2, 220, 40) + noise
    return Image.fromarray(np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    """Encodes with Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def decoded(data: bytes, **settings: object) -> DecodedImage:
    """Decodes what must be a picture, and checks what holds for every one."""
    result = decode_image(data, DecodeSettings(**settings))  # type: ignore[arg-type]
    assert isinstance(result, DecodedImage), result
    assert result.image.dtype == np.uint8
    assert result.image.ndim == 3
    assert result.image.shape[2] == 3
    assert result.image.flags.c_contiguous
    assert result.image.flags.writeable
    return result


def reason_of(data: bytes, **settings: object) -> Reason:
    """Decodes what must fail: why it does."""
    result = decode_image(data, DecodeSettings(**settings))  # type: ignore[arg-type]
    assert isinstance(result, DecodeFailure), result
    assert result.detail
    return result.reason


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, depth: int, color: int, raw: bytes, *extra: bytes) -> bytes:
    """A PNG of compressed data as they are, true or not; `extra` chunks come after the header."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + png_chunk(b"IDAT", raw) + png_chunk(b"IEND", b"")
