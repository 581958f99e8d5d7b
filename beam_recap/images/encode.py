"""Pixels to files: for outputs that keep pictures, and for reports."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_THUMBNAIL_QUALITY = 80
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def encode_image(image: np.ndarray, *, format: str = "jpg", quality: int = 95) -> bytes:
    """Encodes a picture.

    Args:
      image: RGB, uint8 ``[H, W, 3]``.
      format: "jpg", "png" or "webp", as img2dataset's `encode_format`.
      quality: of jpg and webp, from 1 to 100. A png has none: it loses nothing. A jpg has 4:2:0 chroma and, of one
        image and quality, the same bytes as img2dataset's (OpenCV's).

    Raises:
      ValueError: no such format, or a quality out of range.
    """
    if format not in _FORMATS:
        raise ValueError(f"format must be one of {', '.join(_FORMATS)}, not {format!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100, not {quality!r}")
    options = {"jpg": {"quality": quality, "subsampling": "4:2:0"}, "webp": {"quality": quality}}.get(format, {})
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, _FORMATS[format], **options)
    return buffer.getvalue()


def encode_thumbnail(image: np.ndarray, side: int = 128) -> bytes:
    """Encodes a small JPEG (quality 80) of a picture.

    Args:
      image: RGB, uint8 `[H, W, 3]`.
      side: the longer side is shrunk to so many pixels, if it has more.
    """
    thumbnail = Image.fromarray(np.ascontiguousarray(image))
    longest = max(thumbnail.size)
    if longest > side:
        width, height = (max(1, round(length * side / longest)) for length in thumbnail.size)
        # Averages blocks first and leaves at least three times the final size: quicker, and good enough to look at.
        thumbnail = thumbnail.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY)
    return buffer.getvalue()
