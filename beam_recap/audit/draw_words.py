"""Words as pictures, as the synthetic-text score wants them.

224 x 224 px, the word in the middle, 32 px, in four styles. Source: `sys_benchmark.py` of the Parrot repository,
which uses Arial. That may not be passed on; here it is any font, by default the one that is in Pillow (Aileron, CC0).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 224  # px
FONT_SIZE = 32  # px
MIN_FONT_SIZE = 12  # px; below that CLIP's small pictures hold no text
_MARGIN = 2  # px that stay free at each side
_UNKNOWN = "\U0010ffff"  # no font has it, so it is drawn as the sign for what a font lacks

# (name, background, foreground). Pillow's colour names, gray being 128.
STYLES: tuple[tuple[str, str, str], ...] = (
    ("black on white", "white", "black"),
    ("white on black", "black", "white"),
    ("white on gray", "gray", "white"),
    ("black on gray", "gray", "black"),
)


class WordProblem(StrEnum):
    """Why a word is not drawn."""

    TOO_LONG = "too long"  # even at the smallest size
    NOT_IN_FONT = "not in the font"
    BLANK = "blank"


class FontError(ValueError):
    """A font that cannot be used; the message ends a sentence."""


@dataclass(frozen=True, slots=True)
class DrawnWord:
    """A word in one picture per style.

    Attributes:
      pictures: uint8 ``[224, 224, 3]``, in the order of `STYLES`.
      size: of the font, px; less than 32 where the word would not have fitted.
    """

    word: str
    pictures: tuple[np.ndarray, ...]
    size: int

    @property
    def shrunk(self) -> bool:
        return self.size < FONT_SIZE


class WordDrawer:
    """Draws words in one font.

    Args:
      font: path of a TrueType or OpenType file on this machine; None: the one in Pillow.

    Raises:
      FontError: it is no such file.
    """

    def __init__(self, font: str | None = None):
        self._path = font
        self.font_name = " ".join(self._font(FONT_SIZE).getname()[:2])
        self._unknown = self._mask(_UNKNOWN)

    def draw(self, word: str) -> DrawnWord | WordProblem:
        """The word in all styles, or why not."""
        visible = "".join(word.split())
        if not visible:
            return WordProblem.BLANK
        if any(not character.isprintable() or self._lacks(character) for character in visible):
            return WordProblem.NOT_IN_FONT
        for size in range(FONT_SIZE, MIN_FONT_SIZE - 1, -1):
            box = self._font(size).getbbox(word)
            if max(box[2] - box[0], box[3] - box[1]) <= SIDE - 2 * _MARGIN:
                pictures = tuple(self._draw(word, size, box, back, fore) for _, back, fore in STYLES)
                return DrawnWord(word, pictures, size)
        return WordProblem.TOO_LONG

    def _draw(self, word: str, size: int, box: tuple[float, ...], background: str, foreground: str) -> np.ndarray:
        image = Image.new("RGB", (SIDE, SIDE), background)
        place = ((SIDE - box[0] - box[2]) / 2, (SIDE - box[1] - box[3]) / 2)  # the ink's middle in the picture's
        ImageDraw.Draw(image).text((round(place[0]), round(place[1])), word, font=self._font(size), fill=foreground)
        return np.asarray(image)

    def _font(self, size: int) -> Any:
        return _load_font(self._path, size)

    def _mask(self, character: str) -> bytes:
        mask = self._font(FONT_SIZE).getmask(character)
        return repr(mask.size).encode() + bytes(mask)

    def _lacks(self, character: str) -> bool:
        return self._mask(character) == self._unknown


@functools.lru_cache(maxsize=64)
def _load_font(path: str | None, size: int) -> Any:
    try:
        if path is None:
            font = ImageFont.load_default(size=size)
            if not isinstance(font, ImageFont.FreeTypeFont):
                raise FontError("this Pillow was built without FreeType; name a font that it can read with --font")
            return font
        # Letters in the order of the text, joined by no rules: the same picture wherever it is drawn.
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    except (OSError, ValueError) as error:
        if isinstance(error, FontError):
            raise
        raise FontError(f"is no font that can be read ({error}); give a TrueType or OpenType file") from error
