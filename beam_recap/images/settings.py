"""What is accepted as a picture, and how large it comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beam_recap.names import IMAGE_FORMATS, RESIZE_MODES


@dataclass(frozen=True)
class DecodeSettings:
    """What is accepted as a picture, and how large it comes out. Names and meanings are img2dataset 1.47's.

    Attributes:
      image_size: the size, in px, that `resize_mode` speaks of.
      resize_mode: the ratio of the sides is always kept.
        keep_ratio_largest: the longer side becomes `image_size`.
        keep_ratio: the shorter side becomes `image_size`.
        center_crop: as keep_ratio, then the middle square is cut out.
        border: as keep_ratio_largest, then white margins make it a square.
        no: the size stays.
      resize_only_if_bigger: what is not bigger than `image_size` stays as it is, without being cropped or getting
        margins; with False it is enlarged. Bigger is meant of the side that the mode speaks of: the shorter one for
        keep_ratio and center_crop, the longer one for keep_ratio_largest and border.
      formats: which of "jpeg", "png", "webp", "gif" and "avif" are decoded, told by their first bytes.
      max_pixels: width times height of the largest picture that is decoded; what bounds memory. A picture that
        resizing would make larger than that is refused as well.
      min_image_size: the shorter side must have at least so many pixels.
      max_image_area: width times height of the largest picture that is kept; None for no limit but `max_pixels`.
      max_aspect_ratio: longer side divided by shorter side, at most; None for no limit.
      read_exif: also give `DecodedImage.exif`.

    Raises:
      ValueError: a value is out of its range; the message names the field.
    """

    image_size: int = 1536
    resize_mode: str = "keep_ratio_largest"
    resize_only_if_bigger: bool = True
    formats: tuple[str, ...] = IMAGE_FORMATS
    max_pixels: int = 50_000_000
    min_image_size: int = 32
    max_image_area: float | None = None
    max_aspect_ratio: float | None = None
    read_exif: bool = False

    def __post_init__(self) -> None:
        for name in ("max_pixels", "min_image_size", "image_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("max_image_area", "max_aspect_ratio"):
            limit = getattr(self, name)
            if limit is not None and not (_is_number(limit) and math.isfinite(limit) and limit >= 1):
                raise ValueError(f"{name} must be a number of at least 1, or None, not {limit!r}")
        for name in ("resize_only_if_bigger", "read_exif"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.resize_mode not in RESIZE_MODES:
            raise ValueError(f"resize_mode must be one of {', '.join(RESIZE_MODES)}, not {self.resize_mode!r}")
        if isinstance(self.formats, str) or not self.formats or not set(self.formats) <= set(IMAGE_FORMATS):
            raise ValueError(f"formats must be some of {', '.join(IMAGE_FORMATS)}, not {self.formats!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
