"""What decoding gives: a picture, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beam_recap.records import Reason


@dataclass(frozen=True)
class DecodedImage:
    """A picture, upright, without transparency."""

    image: np.ndarray  # RGB, uint8 [H, W, 3], C-contiguous, writable
    width: int  # px, upright, as it came: before resizing
    height: int  # px
    format: str  # "JPEG", "PNG", "WEBP", "GIF", "AVIF"
    exif: str | None = None  # a JSON object of tag names and texts; only with `DecodeSettings.read_exif`


@dataclass(frozen=True)
class DecodeFailure:
    """Why bytes are no usable picture."""

    reason: Reason
    detail: str
