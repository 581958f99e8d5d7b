"""Drawn pictures with the statistics of those on the web: their sizes, formats, bytes, and how photographs vary.

Photographs are drawn by the dead leaves model (Lee, Mumford & Huang 2001, "Occlusion models for natural images"):
opaque shapes of all sizes in front of each other, whose sizes follow a power law. It gives what benchmarks of decoding
depend on: a power spectrum near 1/f^2, sharp edges with heavy tails, flat and busy regions side by side. Shapes are
filled with 1/f texture and lit from a side; there are blurred backgrounds, the blur of a lens, the noise of a sensor.
"""

from __future__ import annotations

import functools
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

_TEXTURE_SIDE = 1024  # px, a power of two: positions wrap by a mask
_GRAPHIC_SHARE = 0.5  # of the PNGs: logos and screenshots, as PNGs on the web are, instead of photographs

# Width / height of landscape pictures, and how often.
_ASPECTS = ((4 / 3, 0.28), (3 / 2, 0.27), (1.0, 0.2), (16 / 9, 0.1), (1.91, 0.03), (0.0, 0.12))  # 0: anything
_PORTRAIT_SHARE = 0.35

_MIX = (("JPEG", 0.84), ("PNG", 0.10), ("WEBP", 0.06))
_PROGRESSIVE_SHARE = 0.25  # of the JPEGs

# Qualities that image editors and sites choose, and how often.
_QUALITIES = (70, 75, 80, 85, 90, 95)
_QUALITY_SHARES = (0.08, 0.17, 0.2, 0.25, 0.2, 0.1)


@dataclass(frozen=True)
class Picture:
    """An encoded picture. `format` is "JPEG", "PNG" or "WEBP", sizes are in pixels."""

    name: str
    data: bytes
    format: str
    width: int
    height: int


@dataclass(frozen=True)
class _Kind:
    """Sizes of pictures: the shorter side is log-normal."""

    median: float  # px
    spread: float  # standard deviation of the logarithm
    shortest: int  # px
    longest: int  # px
    softness: float  # blur of the lens, standard deviation in px


# "web": mean of 0.29 megapixels; small pictures were shrunk by somebody, so they are sharp. "large": 1.57 megapixels.
_KINDS = {"web": _Kind(290, 0.68, 64, 2400, 0.4), "large": _Kind(980, 0.42, 400, 3000, 0.5)}


def make_corpus(kind: str, count: int, seed: int = 0) -> list[Picture]:
    """Draws pictures. Picture number i depends on `kind`, `seed` and i alone, so a short corpus starts a longer one.

    Args:
      kind: "web" or "large".
      count: how many; a web picture takes about 65 ms, a large one 300 ms.
      seed: another one gives other pictures.
    """
    return [draw_picture(kind, number, seed) for number in range(count)]


def draw_picture(kind: str, number: int, seed: int = 0) -> Picture:
    """Draws and encodes one picture of a corpus."""
    rng = np.random.default_rng([seed, sorted(_KINDS).index(kind), number])
    # Steps of the golden ratio: every stretch of the corpus has the mix.
    image_format = _choose(_MIX, (number * (math.sqrt(5) - 1) / 2) % 1)
    width, height = _draw_size(rng, _KINDS[kind])
    if image_format == "PNG" and rng.random() < _GRAPHIC_SHARE:
        image = _draw_graphic(rng, width, height)
    else:
        image = Image.fromarray(draw_photograph(rng, width, height, _KINDS[kind].softness))
    data = _encode(rng, image, image_format)
    name = f"{kind}-{seed}-{number:05d}.{image_format.lower()}"
    return Picture(name, data, image_format, width, height)


def draw_photograph(rng: np.random.Generator, width: int, height: int, softness: float = 0.7) -> np.ndarray:
    """Draws something with the statistics of a photograph.

    Args:
      rng: where all its chance comes from.
      width: px.
      height: px.
      softness: blur of the lens, standard deviation in px.

    Returns:
      RGB, uint8 `[height, width, 3]`.
    """
    import cv2

    palette = _draw_palette(rng)
    # What is far away is out of focus, more or less, so it can be drawn small.
    depth = float(rng.uniform(1, 4)) * max(1, max(width, height) / 640)
    small = max(16, round(width / depth)), max(16, round(height / depth))
    behind, _ = _draw_leaves(rng, *small, palette, int(2 ** rng.uniform(2, 8)))
    scene = cv2.resize(cv2.GaussianBlur(behind, (0, 0), 1.0), (width, height), interpolation=cv2.INTER_CUBIC)
    front, mask = _draw_leaves(rng, width, height, palette, int(2 ** rng.uniform(3, 9)))
    scene[mask] = front[mask]
    scene *= _draw_light(rng, width, height)[..., None]
    scene = cv2.GaussianBlur(scene, (0, 0), softness * float(rng.uniform(0.7, 1.6)))
    grain = float(rng.gamma(2.0, 1.0))  # levels; of a sensor, after some smoothing in the camera
    noise = rng.standard_normal((height, width), dtype=np.float32)
    scene += grain * (noise + 0.4 * np.roll(noise, 1, 1))[..., None]
    return np.clip(scene, 0, 255).astype(np.uint8)


def _draw_size(rng: np.random.Generator, kind: _Kind) -> tuple[int, int]:
    short = float(np.clip(kind.median * math.exp(kind.spread * rng.standard_normal()), kind.shortest, 9e9))
    aspect = _choose(_ASPECTS, rng.random()) or float(np.clip(math.exp(abs(rng.normal(0, 0.5))), 1, 4))
    short = min(short, kind.longest / aspect)
    sides = max(kind.shortest, round(short)), max(kind.shortest, round(short * aspect))
    return sides if rng.random() < _PORTRAIT_SHARE else sides[::-1]


def _choose(shares: tuple[tuple[Any, float], ...], at: float) -> Any:
    """The item whose share holds the point `at` of [0, 1)."""
    for item, share in shares:
        if at < share:
            return item
        at -= share
    return shares[0][0]


def _draw_palette(rng: np.random.Generator) -> np.ndarray:
    """Colours of a scene, float32 `[12, 3]`: muted, of related hues, from dark to light."""
    # Skin, wood and earth; leaves; the sky.
    hues = rng.normal(rng.choice([0.07, 0.07, 0.25, 0.58], 12, p=rng.dirichlet([1, 1, 1, 1])), 0.05)
    saturation = rng.beta(1.5, 3, 12)
    value = rng.uniform(rng.uniform(0.02, 0.25), rng.uniform(0.7, 1.2), 12)
    phases = 2 * np.pi * (hues[:, None] - np.array([0, 1 / 3, 2 / 3]))
    return (255 * value[:, None] * (1 - saturation[:, None] * (0.5 - 0.5 * np.cos(phases)))).astype(np.float32)


def _draw_light(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Light from a side and dark corners, float32 `[height, width]` around 1."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    side_x, side_y = rng.normal(0, 0.12, 2)
    light = 1 + float(side_x) * x + float(side_y) * y - float(rng.uniform(0, 0.15)) * (x * x + y * y)
    return light.astype(np.float32)


def _draw_leaves(
    rng: np.random.Generator, width: int, height: int, palette: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes in front of each other: colours, float32 `[height, width, 3]`, and where a shape is, bool."""
    labels, centres, radii = _draw_labels(rng, width, height, count)
    labels = labels.astype(np.intp)
    numbers = count + 1
    # Most surfaces are nearly smooth, some are busy.
    contrast = 0.8 * rng.beta(0.8, 1.5, numbers)
    # Lit from a side: shapes are round, more or less.
    slopes = rng.normal(0, 0.3, (numbers, 2)) / radii[:, None]
    # Shades of a surface differ in colour too: its dark and its light end.
    dark, light = (palette[rng.integers(0, len(palette), numbers)] for _ in range(2))
    change = rng.uniform(0, 0.7, (numbers, 1)) * (light - dark)
    flat = 1 - (slopes * centres).sum(1)
    table = np.column_stack([contrast, slopes, flat, dark, change]).astype(np.float32)
    seen = table[labels]  # [height, width, 10]: all about the shape at each place, in one lookup
    # Each shape shows its own part of one of the textures.
    shifts = rng.integers(0, _TEXTURE_SIDE, (numbers, 2))
    kinds = rng.integers(0, len(_make_textures()), numbers)
    rows = (np.arange(height)[:, None] + shifts[:, 0][labels]) & (_TEXTURE_SIDE - 1)
    columns = (np.arange(width) + shifts[:, 1][labels]) & (_TEXTURE_SIDE - 1)
    grey = _make_textures().ravel().take((kinds[labels] * _TEXTURE_SIDE + rows) * _TEXTURE_SIDE + columns)
    grey *= seen[..., 0]
    shade = grey + seen[..., 3]
    shade += seen[..., 1] * np.arange(width, dtype=np.float32)
    shade += seen[..., 2] * np.arange(height, dtype=np.float32)[:, None]
    colours = seen[..., 4:7] + np.clip(0.4 + 0.6 * grey, 0, 1)[..., None] * seen[..., 7:10]
    colours *= shade[..., None]
    return colours, labels > 0


def _draw_labels(
    rng: np.random.Generator, width: int, height: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which shape is seen at each place, int32 `[height, width]`, 0 for none.

    Also the shapes' centres, `[count + 1, 2]`, and radii, `[count + 1]`, in px.
    """
    side = math.sqrt(width * height)
    low, high = side / 50, side / 2
    # Radii by a density of r^-2.5, near r^-3 which would look alike at every scale: inverse of its distribution.
    radii = np.concatenate([[side], rng.uniform(high**-1.5, low**-1.5, count) ** (-1 / 1.5)])
    centres = rng.uniform(0, 1, (count + 1, 2)) * (width, height)
    stretches, turns = np.exp(rng.normal(0, 0.4, count + 1)), rng.uniform(0, 2 * np.pi, count + 1)
    image = Image.new("I", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for number in range(1, count + 1):
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        if rng.random() < 0.5:  # a rounded, uneven outline
            waves = sum(rng.normal(0, 0.25 / n) * np.sin(n * angles + rng.uniform(0, 2 * np.pi)) for n in range(2, 9))
        else:  # made by people: straight edges
            waves, angles = 0.0, angles[:: int(rng.choice([12, 12, 12, 8, 16]))]
        reach = radii[number] * (1 + waves)
        x, y = reach * np.cos(angles) * stretches[number], reach * np.sin(angles) / stretches[number]
        cosine, sine = math.cos(turns[number]), math.sin(turns[number])
        outline = np.stack([cosine * x - sine * y, sine * x + cosine * y], -1) + centres[number]
        draw.polygon(outline.ravel().tolist(), fill=number)
    return np.asarray(image), centres, radii


@functools.cache
def _make_textures() -> np.ndarray:
    """Surfaces: float32 `[8, 1024, 1024]`, mean 0, deviation 1, and they wrap round.

    Noise with amplitudes that fall as a power of the frequency (clouds, stone, cloth, grass), some of it stretched
    (wood, hair, water), some pushed to its ends (foliage, pebbles).
    """
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.fft.rfftfreq(_TEXTURE_SIDE), np.fft.fftfreq(_TEXTURE_SIDE))
    textures = []
    for slope, stretch, steepness in (
        (0.7, 1, 0.0),
        (0.9, 1, 0.0),
        (1.1, 1, 0.0),
        (1.5, 1, 0.0),
        (1.1, 3, 0.0),
        (1.1, 1 / 5, 0.0),
        (1.0, 1, 1.5),
        (1.4, 1, 4.0),
    ):
        frequency = np.hypot(x * stretch, y / stretch)
        frequency[0, 0] = np.inf
        # Nothing coarser than a quarter of the tile, or it would be a gradient instead of a texture.
        spectrum = (
            np.fft.rfft2(rng.standard_normal((_TEXTURE_SIDE, _TEXTURE_SIDE)))
            / np.maximum(frequency, 4 / _TEXTURE_SIDE) ** slope
        )
        texture = np.fft.irfft2(spectrum)
        texture /= texture.std()
        texture = np.tanh(steepness * texture) if steepness else texture
        textures.append(((texture - texture.mean()) / texture.std()).astype(np.float32))
    return np.stack(textures)


def _draw_graphic(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A logo or a screenshot: plain colours, boxes and lines of text-like strokes; some with transparency."""
    transparent = rng.random() < 0.4
    image = Image.new("RGBA", (width, height), (255, 255, 255, 0 if transparent else 255))
    draw = ImageDraw.Draw(image)
    colours = [(*(int(level) for level in rng.integers(0, 256, 3)), 255) for _ in range(5)]
    for _ in range(int(rng.integers(4, 14))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        box = (x, y, x + rng.uniform(0.05, 0.6) * width, y + rng.uniform(0.05, 0.4) * height)
        shape = draw.ellipse if rng.random() < 0.3 else draw.rectangle
        shape(box, fill=colours[int(rng.integers(0, 5))])
    line = max(3, height // 30)
    for top in range(line, height - line, 2 * line):
        x = float(line)
        while x < width * rng.uniform(0.4, 1):
            draw.line((x, top, x + rng.uniform(-0.4, 0.4) * line, top + line), fill=colours[0], width=max(1, line // 6))
            x += rng.uniform(0.3, 1.2) * line
    return image if transparent else image.convert("RGB")


def _encode(rng: np.random.Generator, image: Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    quality = int(rng.choice(_QUALITIES, p=_QUALITY_SHARES))
    if image_format == "JPEG":
        progressive = bool(rng.random() < _PROGRESSIVE_SHARE)
        subsampling = "4:4:4" if quality >= 90 and rng.random() < 0.4 else "4:2:0"
        image.save(
            buffer, "JPEG", quality=quality, progressive=progressive, optimize=progressive, subsampling=subsampling
        )
    elif image_format == "WEBP":
        image.save(buffer, "WEBP", quality=quality, method=2)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()
