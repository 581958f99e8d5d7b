"""The quick way of WebPs: opaque pictures without animation go through OpenCV.

Pillow decodes every WebP as an animation, by way of a transparent canvas: the same pixels, a third later. OpenCV is
loaded with the first WebP, which costs 20 ms and 16 MB once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from beam_recap.images.errors import FATAL
from beam_recap.images.exif import read_orientation
from beam_recap.images.pillow import LoadedImage

_ALPHA, _ANIMATION = 0x10, 0x02  # flags of an extended file (RFC 9649, 2.7)
_LOSSLESS_ALPHA = 0x10  # in the last byte of a lossless picture's header (3.4)


def decode_webp_quickly(data: bytes, size: tuple[int, int]) -> LoadedImage | None:
    """Decodes a WebP.

    Args:
      data: the encoded picture.
      size: (width, height) in px, as its header says.

    Returns:
      The picture; or None if it is transparent, animated or broken: then Pillow decides whether it is a picture.
    """
    if not _is_plain(data):
        return None
    import cv2

    try:
        pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except (MemoryError, *FATAL):
        raise
    except BaseException:
        return None
    if pixels is None or (pixels.shape[1], pixels.shape[0]) != size:
        return None
    exif = _find_chunk(data, b"EXIF")
    return LoadedImage(Image.fromarray(pixels), read_orientation(exif), exif)


def _is_plain(data: bytes) -> bool:
    kind = data[12:16]
    if kind == b"VP8X":
        return not data[20] & (_ALPHA | _ANIMATION)
    return kind == b"VP8 " or (kind == b"VP8L" and not data[24] & _LOSSLESS_ALPHA)


def _find_chunk(data: bytes, name: bytes) -> bytes | None:
    """The content of the first chunk of a name (RFC 9649, 2.3)."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == name:
            return data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return None
