"""From everything that a decoder may give to grey or RGB of 8 bits, without transparency.

* Transparency (alpha, a transparent colour, a palette's) is laid on white, before anything is resized.
* Grey of 16 bits is scaled by 255/65535 and rounded; of colours of 16 bits, Pillow keeps the upper 8.
* CMYK is taken as Adobe writes it into JPEGs, inverted, and converted by R = (255 - C)(255 - K) / 255.
* ICC profiles are ignored, in all formats: as in CLIP's and LLaVA's own preprocessing, values count as sRGB.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

_WHITE = (255, 255, 255)
_BAND_PIXELS = 1 << 20


def to_plain_mode(image: Image.Image) -> Image.Image:
    """Converts to mode "L" or "RGB", opaque; an image that is already so is returned as it is."""
    if image.mode.startswith("I"):  # 16-bit grey, which older versions of Pillow open as 32-bit
        return _grey_to_8_bit(image)
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode in ("1", "L"):
        return image if image.mode == "L" else image.convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    transparent = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", transparent.size, _WHITE)
    white.paste(transparent, mask=transparent)
    return white


def split_bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The picture in bands of rows: so that nothing needs a second copy of the whole."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        yield slice(top, bottom), image if rows >= height else image.crop((0, top, width, bottom))


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    transparent = image.info.get("transparency")
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, band in split_bands(image):
        # 65535 / 255 = 257; the sum fits 32 bits, not 16.
        values = np.clip(np.asarray(band), 0, 65535).astype(np.uint32)
        if isinstance(transparent, int):
            values[values == transparent] = 65535  # white, as what lies behind
        grey[rows] = (values + 128) // 257
    return Image.fromarray(grey)
