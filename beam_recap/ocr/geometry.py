"""Boxes and pictures: padding thin pictures, area under boxes, reading order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Polygon = tuple[tuple[float, float], ...]  # corners (x, y), px

MAX_ASPECT = 8  # as RapidOCR's own pipeline; the bare detector rounds the short side of a thinner picture to nothing
_STEP = 32  # sides of the detector's input are multiples of this, px


@dataclass(frozen=True, slots=True)
class Frame:
    """What the detector sees: the picture, or, if it is thin, the shrunken picture on a black ground.

    Attributes:
      image: uint8 [h, w, 3].
      width: of the whole frame, in pixels of the picture.
      height: of the whole frame, in pixels of the picture.
      left: where the picture begins in the frame, in pixels of the picture.
      top: where the picture begins in the frame, in pixels of the picture.
    """

    image: np.ndarray
    width: int
    height: int
    left: float = 0.0
    top: float = 0.0


def frame_for_detection(image: np.ndarray, side: int) -> Frame:
    """Pads a picture whose aspect is over 8, or whose short side would be under 32 px at the detector.

    Args:
      image: uint8 [H, W, 3].
      side: the detector's longest side, px.
    """
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    if max(height, width) <= MAX_ASPECT * min(height, width) and min(height, width) * scale >= _STEP:
        return Frame(image, width, height)
    # Shrunk before it is padded: 60,000 x 10 px would become 60,000 x 7,500.
    small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA)
    shortest = _STEP * math.ceil(max(small_width, small_height) / MAX_ASPECT / _STEP)
    pad_width, pad_height = max(0, shortest - small_width), max(0, shortest - small_height)
    left, top = pad_width // 2, pad_height // 2
    padded = cv2.copyMakeBorder(
        small, top, pad_height - top, left, pad_width - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )
    unit_x, unit_y = width / small_width, height / small_height
    return Frame(
        padded,
        width=round(padded.shape[1] * unit_x),
        height=round(padded.shape[0] * unit_y),
        left=left * unit_x,
        top=top * unit_y,
    )


def side_lengths(corners: np.ndarray) -> tuple[float, float]:
    """Width and height, px, of a box given as corners [4, 2]: top left, top right, bottom right, bottom left."""
    top, right, bottom, left = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return float(max(top, bottom)), float(max(left, right))


def area_ratio(polygons: Sequence[Polygon], width: int, height: int) -> float:
    """Share of a picture under the union of polygons, in [0, 1]; overlaps count once."""
    if not polygons:
        return 0.0
    from shapely import MultiPoint, box, unary_union

    # The hull repairs a box whose corners were clipped into a bow tie.
    union = unary_union([MultiPoint(polygon).convex_hull for polygon in polygons])
    return min(1.0, float(union.intersection(box(0, 0, width, height)).area) / (width * height))


def reading_order(polygons: Sequence[Polygon]) -> list[int]:
    """Indices of boxes line by line from the top, each line from the left.

    Boxes share a line when their centres differ by less than half the height of the lower one of them.
    """
    tops = [min(y for _, y in polygon) for polygon in polygons]
    heights = [max(y for _, y in polygon) - top for polygon, top in zip(polygons, tops, strict=True)]
    lefts = [min(x for x, _ in polygon) for polygon in polygons]
    centres = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
    lines: list[list[int]] = []
    for index in sorted(range(len(polygons)), key=lambda i: (centres[i], lefts[i])):
        first = lines[-1][0] if lines else None
        if first is not None and centres[index] - centres[first] < min(heights[index], heights[first]) / 2:
            lines[-1].append(index)
        else:
            lines.append([index])
    return [index for line in lines for index in sorted(line, key=lambda i: lefts[i])]
