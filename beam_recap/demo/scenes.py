"""The demonstration's world: scenes of coloured shapes, described by sentences that can be parsed back.

A scene is drawn by :mod:`beam_recap.demo.draw`, described by :func:`describe` and read back by :func:`parse`, so a
caption can be judged exactly: it is right when it names every object, its size, its colour, its place and the
background. One scene in eight (chosen by a digest of its caption) is *held out*: training never sees it.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

COLORS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 220),
    "yellow": (240, 215, 30),
    "purple": (140, 40, 170),
    "orange": (245, 140, 20),
    "pink": (250, 150, 190),
    "brown": (120, 70, 30),
}
BACKGROUNDS = {
    "white": (250, 250, 250),
    "black": (12, 12, 12),
    "gray": (150, 150, 150),
    "cyan": (150, 235, 235),
}
SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("small", "large")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")

# Radius ranges as fractions of the picture's short side, by number of objects. Three objects share one axis, so a
# large one has less room there; small stays under 0.75 of large, which a 60 px picture still tells apart.
_RADII = {
    1: {"small": (0.125, 0.145), "large": (0.21, 0.24)},
    2: {"small": (0.125, 0.145), "large": (0.205, 0.23)},
    3: {"small": (0.11, 0.12), "large": (0.165, 0.18)},
}
_HELD_OUT_ONE_IN = 8

SLOGANS = (
    "SALE 50% OFF",
    "BUY NOW",
    "SUBSCRIBE TODAY",
    "HELLO WORLD",
    "HAPPY BIRTHDAY",
    "FREE SHIPPING",
    "BREAKING NEWS",
    "Wake up human!",
    "Visit our store",
    "Limited offer",
    "Season's greetings",
    "Read more online",
)
SPAM = (
    "Buy cheap watches online, free shipping worldwide",
    "IMG_2041.JPG",
    "click here to subscribe to our newsletter",
    "stock vector royalty free download",
    "best price guaranteed, order today",
    "untitled-1 copy final (2)",
    "Hotel booking deals in Paris and London",
    "DSC00482",
    "home page logo",
    "how to lose weight fast with this one trick",
    "Nike Air Max running shoes for men",
    "image may contain: outdoor",
)


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One shape. ``x`` and ``y`` are its centre and ``radius`` its size, as fractions of the picture in [0, 1]."""

    size: str
    color: str
    shape: str
    x: float
    y: float
    radius: float

    @property
    def name(self) -> str:
        return f"{self.size} {self.color} {self.shape}"


@dataclass(frozen=True, slots=True)
class Scene:
    """One to three objects on a plain background, alone at a place, in a row (left to right) or a column.

    ``layout`` is ``"row"``, ``"column"``, or for a single object its place (``"top left"`` ... ``"middle center"``).
    """

    objects: tuple[SceneObject, ...]
    layout: str
    background: str


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What a caption says: the names of the objects in order, their layout and the background."""

    objects: tuple[str, ...]
    layout: str
    background: str


def facts(scene: Scene) -> SceneFacts:
    """What the right caption of ``scene`` says."""
    return SceneFacts(tuple(o.name for o in scene.objects), scene.layout, scene.background)


def random_scene(rng: random.Random, *, held_out: bool | None = None, objects: int | None = None) -> Scene:
    """Draws scenes until one is held out of training, or is not, as asked (None: either).

    Args:
      rng: the only source of chance.
      held_out: which side of the split the scene must be on.
      objects: 1, 2 or 3; None draws them with weights 25 %, 50 %, 25 %.
    """
    while True:
        scene = _any_scene(rng, objects or rng.choices((1, 2, 3), (0.25, 0.5, 0.25))[0])
        if held_out is None or is_held_out(describe(scene)) == held_out:
            return scene


def is_held_out(caption: str) -> bool:
    """Whether this caption (and so its scene) is kept away from training."""
    return hashlib.sha256(caption.encode()).digest()[0] % _HELD_OUT_ONE_IN == 0


def _any_scene(rng: random.Random, count: int) -> Scene:
    background = rng.choice(tuple(BACKGROUNDS))
    looks = [(rng.choice(SIZES), rng.choice(tuple(COLORS)), rng.choice(SHAPES)) for _ in range(count)]
    radii = [rng.uniform(*_RADII[count][size]) for size, _, _ in looks]
    if count == 1:
        row, column = rng.randrange(3), rng.randrange(3)
        margin = radii[0] + 0.03
        stops = (margin, 0.5, 1 - margin)
        spots = [(stops[column] + rng.uniform(-0.015, 0.015), stops[row] + rng.uniform(-0.015, 0.015))]
        layout = f"{ROWS[row]} {COLUMNS[column]}"
    else:
        layout = rng.choice(("row", "column"))
        spots = []
        for i, radius in enumerate(radii):
            slack = max(0.0, 0.5 / count - radius * 1.1)
            along = (i + 0.5) / count + rng.uniform(-slack, slack)
            across = 0.5 + rng.uniform(-0.12, 0.12)
            spots.append((along, across) if layout == "row" else (across, along))
    placed = tuple(SceneObject(*look, *spot, radius) for look, spot, radius in zip(looks, spots, radii, strict=True))
    return Scene(placed, layout, background)


def describe(scene: Scene) -> str:
    """The scene's caption: one sentence, the same for every picture of the same facts."""
    names = [f"a {o.name}" for o in scene.objects]
    if len(names) == 1:
        row, column = scene.layout.split()
        place = "in the center" if (row, column) == ("middle", "center") else f"at the {row} {column}"
        body = f"{names[0]} {place}"
    else:
        in_row = scene.layout == "row"
        body = f"{names[0]} {'to the left of' if in_row else 'above'} {names[1]}"
        if len(names) == 3:
            body += f", with {names[2]} {'on the far right' if in_row else 'at the bottom'}"
    return f"A{body[1:]} on a {scene.background} background."


_NAME = rf"a ((?:{'|'.join(SIZES)}) (?:{'|'.join(COLORS)}) (?:{'|'.join(SHAPES)}))"
_BACKGROUND = rf"on a ({'|'.join(BACKGROUNDS)}) background\.?"
_SINGLE = re.compile(
    rf"{_NAME} (?:at the ((?:{'|'.join(ROWS)}) (?:{'|'.join(COLUMNS)}))|in the (center)) {_BACKGROUND}"
)
_SEVERAL = re.compile(
    rf"{_NAME} (to the left of|above) {_NAME}(?:, with {_NAME} (on the far right|at the bottom))? {_BACKGROUND}"
)


def parse(caption: str) -> SceneFacts | None:
    """Reads a caption back into facts; None when it is not a sentence of this world."""
    text = " ".join(caption.lower().split())
    if single := _SINGLE.fullmatch(text):
        name, place, _, background = single.groups()
        return SceneFacts((name,), place or "middle center", background)
    if several := _SEVERAL.fullmatch(text):
        first, relation, second, third, end, background = several.groups()
        layout = "column" if relation == "above" else "row"
        if end and (end == "on the far right") != (layout == "row"):
            return None
        return SceneFacts((first, second) + ((third,) if third else ()), layout, background)
    return None


def alt_text(scene: Scene, rng: random.Random) -> str:
    """A right but terse alt-text, as the web has them: no place, often no size, no background."""
    with_size = rng.random() < 0.4
    names = [o.name if with_size else f"{o.color} {o.shape}" for o in scene.objects]
    listed = " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
    return rng.choice(("{}", "picture of {}", "{} on {}", "drawing: {}")).format(listed, scene.background)


_SWAPS = (tuple(COLORS), SHAPES, SIZES, tuple(BACKGROUNDS), ROWS, COLUMNS)
_RELATION = re.compile(r"to the left of|on the far right|at the bottom on|in the center")


def one_word_wrong(caption: str, rng: random.Random, kinds: Sequence[Sequence[str]] = _SWAPS) -> str:
    """The caption with one word (a colour, shape, size, background or place) changed so that it is wrong.

    Args:
      caption: a sentence or an alt-text of this world.
      rng: the only source of chance.
      kinds: the groups of words that may be exchanged among themselves.

    Raises:
      ValueError: the caption has no word of this world.
    """
    words = list(re.finditer(r"\w+", caption))
    fixed = [m.span() for m in _RELATION.finditer(caption)]
    choices = [
        (word, group)
        for word in words
        for group in kinds
        if word.group() in group and not any(start <= word.start() < end for start, end in fixed)
    ]
    if not choices:
        raise ValueError(f"no word of this world in {caption!r}")
    word, group = rng.choice(choices)
    other = rng.choice([w for w in group if w != word.group()])
    return caption[: word.start()] + other + caption[word.end() :]


def spam_text(rng: random.Random) -> str:
    """An alt-text that says nothing about any picture."""
    text = rng.choice(SPAM + SLOGANS)
    if rng.random() < 0.5:
        words = [w for t in rng.sample(SPAM + SLOGANS, 3) for w in t.split()]
        text = " ".join(rng.sample(words, min(len(words), rng.randint(2, 8))))
    return text
