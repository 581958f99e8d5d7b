"""Which size a picture comes out at: img2dataset's resize modes as plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from beam_recap.images.settings import DecodeSettings

_BY_SHORTER_SIDE = frozenset({"keep_ratio", "center_crop"})
_SQUARES = frozenset({"center_crop", "border"})

# JPEGs can be decoded at 1/2, 1/4 or 1/8 of their size for less. With twice the final size left, the bicubic filter
# still gives what it gives from the full size: on photographs, a PSNR of 55 dB. With less left, it is 42 dB.
_REDUCTION_MARGIN = 2
_REDUCTIONS = (8, 4, 2)  # n/8 in between cost more than the full size: no SIMD code in libjpeg-turbo


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes in pixels, upright.

    Attributes:
      resized: (width, height) to which the picture is resized.
      square: side of the square that the result is then cut to, or set on; None if it stays as it is.
    """

    resized: tuple[int, int]
    square: int | None = None


def plan_resize(width: int, height: int, settings: DecodeSettings) -> Plan:
    """The sizes of an upright picture of width x height; see `DecodeSettings` for what the modes mean."""
    mode, size = settings.resize_mode, settings.image_size
    if mode == "no":
        return Plan((width, height))
    side = min(width, height) if mode in _BY_SHORTER_SIDE else max(width, height)
    if settings.resize_only_if_bigger and side <= size:
        return Plan((width, height))
    resized = max(1, round(width * size / side)), max(1, round(height * size / side))
    return Plan(resized, size if mode in _SQUARES else None)


def plan_reduction(stored: tuple[int, int], resized: tuple[int, int]) -> int:
    """By how much a JPEG may be reduced while it is decoded: 1, 2, 4 or 8."""
    room = min(stored[0] // (_REDUCTION_MARGIN * resized[0]), stored[1] // (_REDUCTION_MARGIN * resized[1]))
    return next((reduction for reduction in _REDUCTIONS if reduction <= room), 1)
