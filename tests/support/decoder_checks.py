"""What holds for every result of the decoder, whatever the bytes were."""

from __future__ import annotations

import json

import numpy as np

from beam_recap.images import DecodedImage, DecodeFailure, DecodeSettings, decode_image
from beam_recap.images.geometry import plan_resize
from beam_recap.names import RESIZE_MODES
from beam_recap.records import Reason

MAX_PIXELS = 2_000_000
_REASONS = frozenset(
    {
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED_FORMAT,
        Reason.CORRUPT,
        Reason.TOO_MANY_PIXELS,
        Reason.TOO_SMALL,
    }
)


def settings_for(number: int) -> DecodeSettings:
    """Small limits, and every mode in turn."""
    mode = RESIZE_MODES[number % len(RESIZE_MODES)]
    return DecodeSettings(
        image_size=(48, 200)[number // 5 % 2],
        resize_mode=mode,
        resize_only_if_bigger=number % 3 > 0,
        max_pixels=MAX_PIXELS,
        min_image_size=4,
        read_exif=True,
    )


def check_decoder(data: bytes, settings: DecodeSettings) -> bool:
    """Decodes; whether it was a picture.

    Raises:
      AssertionError: a result that breaks a promise.
    """
    result = decode_image(data, settings)
    if isinstance(result, DecodeFailure):
        assert result.reason in _REASONS, result
        assert result.detail, result
        return False
    assert isinstance(result, DecodedImage)
    pixels = result.image
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous and pixels.flags.writeable
    assert result.width * result.height <= settings.max_pixels
    plan = plan_resize(result.width, result.height, settings)
    width, height = (plan.square, plan.square) if plan.square else plan.resized
    assert pixels.shape == (height, width, 3), (pixels.shape, plan)
    assert result.exif is None or json.loads(result.exif)
    return True
