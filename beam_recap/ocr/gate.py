"""The gate: which detections count as text.

Detection alone is no filter: the detector takes whole objects for characters ("8", "O") in 41 % of photos without text.
So a box counts only if the recogniser can read it (at least two different letters or digits), and a picture has text if
one box counts, or if two long boxes are surely text that the recogniser cannot read (a script outside its alphabet).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

RAPIDOCR_VERSION = "3.10.0"
MODEL_NAME = "PP-OCRv6-small"
_GATE_NAME = "gate1"  # changes when the defaults below, or the rule itself, change


@dataclass(frozen=True, slots=True, kw_only=True)
class OCRSettings:
    """The operating point.

    The defaults were measured on 216 labelled web pictures (100 with text): precision 1.00, recall 0.94, no false alarm
    in 116 pictures without text. They hold for this model only: PP-OCRv6 small of rapidocr 3.10.0.

    Attributes:
      side: the detector sees the picture with its long side at most this long, px, in [160, 4096]. 480 is 1.8 times as
        fast and finds 0.84 instead of 0.94. Reading always uses the pixels of the picture as it is.
      box_threshold: lowest detection score of a box, (0, 1).
      min_recognition: lowest recognition score of a box that counts, [0, 1].
      min_distinct: least number of different letters and digits in a box that counts. One lets in objects that look
        like a character; two cost almost only single digits.
      strong_boxes: as many unreadable but surely text-like boxes make a picture one with text.
      strong_score: lowest detection score of such a box, [box_threshold, 1].
      strong_aspect: lowest ratio of its longer to its shorter side, [1, 100].
      strong_max_area: largest share of the picture under it, [0, 1].
      max_boxes: at most this many boxes are read, by falling detection score.
      full_text: read every box. Else reading stops as soon as the gate is decided, which makes pictures with text
        2.7 times as fast, but their text, boxes and area become lower bounds.

    Raises:
      ValueError: a value is out of range; names the field.
    """

    side: int = 736
    box_threshold: float = 0.3
    min_recognition: float = 0.7
    min_distinct: int = 2
    strong_boxes: int = 2
    strong_score: float = 0.8
    strong_aspect: float = 2.0
    strong_max_area: float = 0.5
    max_boxes: int = 64
    full_text: bool = False

    def __post_init__(self) -> None:
        self._check_integer("side", 160, 4096)
        self._check_integer("min_distinct", 1, 100)
        self._check_integer("strong_boxes", 1, 1000)
        self._check_integer("max_boxes", 1, 1000)
        self._check_number("box_threshold", 0.0, 1.0, exclusive=True)
        self._check_number("min_recognition", 0.0, 1.0)
        self._check_number("strong_score", self.box_threshold, 1.0)
        self._check_number("strong_aspect", 1.0, 100.0)
        self._check_number("strong_max_area", 0.0, 1.0)
        if not isinstance(self.full_text, bool):
            raise ValueError(f"full_text must be True or False, got {self.full_text!r}")

    def _check_integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be an integer from {low} to {high}, got {value!r}")

    def _check_number(self, name: str, low: float, high: float, *, exclusive: bool = False) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not (low < value < high if exclusive else low <= value <= high):
            raise ValueError(
                f"{name} must be a number {'between' if exclusive else 'from'} {low:g} "
                f"{'and' if exclusive else 'to'} {high:g}, got {value!r}"
            )


def engine_id(settings: OCRSettings) -> str:
    """Names everything that decides an outcome: ``rapidocr-3.10.0/PP-OCRv6-small/736/gate1``.

    Other thresholds than the defaults are listed after the gate's name. Loads no model.
    """
    defaults = OCRSettings()
    changed = [
        f"{field.name}={getattr(settings, field.name)}"
        for field in dataclasses.fields(settings)
        if field.name not in ("side", "full_text") and getattr(settings, field.name) != getattr(defaults, field.name)
    ]
    return f"rapidocr-{RAPIDOCR_VERSION}/{MODEL_NAME}/{settings.side}/{'+'.join([_GATE_NAME, *changed])}"


def is_text(text: str, recognition_score: float, settings: OCRSettings) -> bool:
    """Whether a box with this reading counts."""
    distinct = {character for character in text if character.isalnum()}
    return recognition_score >= settings.min_recognition and len(distinct) >= settings.min_distinct


def is_strong(detection_score: float, aspect: float, area: float, settings: OCRSettings) -> bool:
    """Whether a box is surely text even if it cannot be read.

    Args:
      detection_score: in [0, 1].
      aspect: longer side / shorter side.
      area: share of the picture, in [0, 1].
      settings: the operating point.
    """
    return (
        detection_score >= settings.strong_score
        and aspect >= settings.strong_aspect
        and area < settings.strong_max_area
    )


def has_text(accepted: int, unreadable: int, settings: OCRSettings) -> bool:
    """The decision, from the number of boxes that count and of strong boxes that do not."""
    return accepted > 0 or unreadable >= settings.strong_boxes
