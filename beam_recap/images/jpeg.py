"""The quick way of JPEGs: libjpeg-turbo decodes grey and RGB at a fraction of their size, straight into an array."""

from __future__ import annotations

import numpy as np
import simplejpeg

from beam_recap.images.errors import FATAL
from beam_recap.images.geometry import plan_reduction
from beam_recap.images.jpeg_header import JpegFacts
from beam_recap.images.resize import as_image, resize

_BITS = 8


def decode_jpeg_quickly(data: bytes, facts: JpegFacts, size: tuple[int, int]) -> np.ndarray | None:
    """Decodes and resizes a JPEG.

    Args:
      data: the encoded picture.
      facts: what its header says.
      size: (width, height) to resize to, as stored.

    Returns:
      RGB, uint8 ``[H, W, 3]``; or None if anything is unusual about it, down to a warning of libjpeg (as for one that
      was cut): then Pillow decides whether it is a picture.

    Raises:
      MemoryError: memory ran out.
    """
    if facts.bits != _BITS or facts.components not in (1, 3):
        return None
    try:
        # What libjpeg itself will decode and allocate; it stops at a second frame header.
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != (facts.width, facts.height):
            return None
        if (width, height) == size:
            return simplejpeg.decode_jpeg(data, "RGB")
        reduction = plan_reduction((width, height), size)
        reduced = -(-width // reduction), -(-height // reduction)
        colorspace = "GRAY" if facts.components == 1 else "RGBX"
        pixels = simplejpeg.decode_jpeg(data, colorspace, min_width=reduced[0], min_height=reduced[1])
        if (pixels.shape[1], pixels.shape[0]) != reduced:
            return None
        return resize(as_image(pixels), size, (width / reduction, height / reduction))
    except (MemoryError, *FATAL):
        raise
    except BaseException:
        return None
