"""Draws the demonstration's scenes as pictures, with or without text on them."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw, ImageFont

from beam_recap.demo.scenes import BACKGROUNDS, COLORS, Scene

_TEXT_BAND = 0.13  # share of the picture's height that a line of text takes
_JITTER = 10  # each colour channel moves by at most this much, so that no two pictures are equal


def draw_scene(
    scene: Scene,
    rng: random.Random,
    *,
    side: int = 256,
    aspect: float = 1.0,
    text: str | None = None,
    text_on_top: bool = False,
) -> Image.Image:
    """Draws a scene.

    Args:
      scene: what to draw.
      rng: jitters colours and rotations.
      side: the longer side, px.
      aspect: width / height.
      text: a line to write in a band of its own, above or below the scene.
      text_on_top: above.

    Returns:
      An RGB picture.
    """
    width, height = (side, round(side / aspect)) if aspect >= 1 else (round(side * aspect), side)
    ground = _jitter(BACKGROUNDS[scene.background], rng)
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    has_text = text is not None
    if text is not None:
        band = _TEXT_BAND * height
        _write(draw, text, width, band, 0.0 if text_on_top else height - band, ground)
    places = places_px(scene, width, height, has_text=has_text, text_on_top=text_on_top)
    for thing, (x, y, radius) in zip(scene.objects, places, strict=True):
        fill = _jitter(COLORS[thing.color], rng)
        if thing.shape == "circle":
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)
        else:
            draw.polygon(_corners(thing.shape, x, y, radius, rng.uniform(-0.15, 0.15)), fill=fill)
    return image


def places_px(
    scene: Scene, width: int, height: int, *, has_text: bool, text_on_top: bool
) -> list[tuple[float, float, float]]:
    """Centre and radius, px, of each object in a picture of this size."""
    band = _TEXT_BAND * height if has_text else 0.0
    top = band if text_on_top else 0.0
    box = height - band
    unit = min(width, box)
    return [(o.x * width, top + o.y * box, o.radius * unit) for o in scene.objects]


def random_aspect(scene: Scene, rng: random.Random) -> float:
    """Square in 70 % of draws, else 4:3 or 3:4. Three objects are always square: elsewhere they come out too small."""
    if rng.random() < 0.7 or len(scene.objects) == 3:
        return 1.0
    return rng.choice((4 / 3, 3 / 4))


def _jitter(color: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    red, green, blue = (max(0, min(255, channel + rng.randint(-_JITTER, _JITTER))) for channel in color)
    return red, green, blue


def _corners(shape: str, x: float, y: float, radius: float, turn: float) -> list[tuple[float, float]]:
    if shape == "square":
        distances, start = [radius * 1.15] * 4, math.pi / 4
    elif shape == "triangle":
        distances, start = [radius * 1.2] * 3, -math.pi / 2
    else:  # a five-pointed star: points and notches alternate
        distances, start = [radius * 1.2, radius * 0.5] * 5, -math.pi / 2
    step = 2 * math.pi / len(distances)
    return [
        (x + d * math.cos(start + turn + i * step), y + d * math.sin(start + turn + i * step))
        for i, d in enumerate(distances)
    ]


def _write(
    draw: ImageDraw.ImageDraw, text: str, width: int, band: float, top: float, ground: tuple[int, int, int]
) -> None:
    size = band * 0.8
    while (box := draw.textbbox((0, 0), text, font=ImageFont.load_default(size)))[2] > width * 0.94 and size > 4:
        size *= 0.9
    ink = (15, 15, 15) if sum(ground) > 380 else (245, 245, 245)
    x = (width - (box[2] - box[0])) / 2 - box[0]
    y = top + (band - (box[3] - box[1])) / 2 - box[1]
    draw.text((x, y), text, fill=ink, font=ImageFont.load_default(size))
