"""Judges rows by the prefilter: what a condition sees of a row, and why the row does not pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from beam_recap.inputs.columns import Columns, as_text, as_written
from beam_recap.language import detect_language, load_model
from beam_recap.prefilter import (
    CAPTION_CHARS,
    CAPTION_WORDS,
    LANGUAGE,
    MAX_SIDE,
    MIN_SIDE,
    OF_SIDES,
    Condition,
    parse_conditions,
    parse_number,
    shown,
)
from beam_recap.records import Reason, Rejection, Sample, Stage

# Dear conditions come last, so that fewer rows meet them; the order decides which failure is told, not who passes.
_COSTS = {CAPTION_WORDS: 1, CAPTION_CHARS: 1, LANGUAGE: 2}

_MISSING = "is missing"
_NO_NUMBER = "is no number"
_NO_TEXT = "is no text"


class Prefilter:
    """Conditions, in the order in which rows meet them.

    Args:
      texts: conditions as `beam_recap.prefilter.prefilter` writes them; none: every row passes.
    """

    def __init__(self, texts: Sequence[str] = ()):
        found = dict.fromkeys(condition for text in texts for condition in parse_conditions(text))
        self.conditions = tuple(sorted(found, key=lambda condition: _COSTS.get(_derived_name(condition), 0)))

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def load(self) -> None:
        """Loads the language model, if rows are judged by it. Raises `beam_recap.language.LanguageModelError`."""
        if any(_derived_name(condition) == LANGUAGE for condition in self.conditions):
            load_model()

    @property
    def columns(self) -> list[str]:
        """The source's columns that conditions name, each once."""
        return list(dict.fromkeys(condition.name for condition in self.conditions if not condition.is_derived))

    def failure(self, row: Mapping[str, Any], columns: Columns) -> str | None:
        """Why a row does not pass, by the first condition that it fails; None if it passes.

        Args:
          row: the source's values by column name, unchanged.
          columns: their meaning.
        """
        for condition in self.conditions:
            if (problem := judge(condition, _values(condition, row, columns))) is not None:
                return problem
        return None

    def missing_column(self, names: Sequence[str], columns: Columns) -> str | None:
        """What a table lacks that conditions need; None if nothing."""
        for condition in self.conditions:
            if not condition.is_derived:
                if condition.name not in names:
                    return f"there is no column {shown(condition.name)}"
            elif condition.name in OF_SIDES:
                if columns.source_width is None or columns.source_height is None:
                    return f"there are no columns of width and height, which {condition.name} needs"
            elif columns.caption is None:
                return f"there is no column of captions, which {condition.name} needs (see --caption_column)"
        return None


def prefiltered(sample: Sample, detail: str) -> Rejection:
    """The rejection of a row that has no pixels yet. It is made for most rows of some runs, so nothing is copied."""
    return Rejection(sample=sample, stage=Stage.READ, reason=Reason.PREFILTERED, detail=detail)


def judge(condition: Condition, values: tuple[Any, ...]) -> str | None:
    """Why a row does not pass one condition; None if it passes.

    Args:
      condition: what the row must fulfil.
      values: the source's values of the columns that it needs (see `needed_columns`), None for missing ones.
    """
    value, problem = _measure(condition, values)
    if value is None:
        return condition.no_value(problem)
    return None if condition.holds(value) else condition.failure(value)


def needed_columns(condition: Condition, columns: Columns) -> tuple[str | None, ...]:
    """The source's columns whose values decide a condition; None for those that the source lacks."""
    if not condition.is_derived:
        return (condition.name,)
    if condition.name in OF_SIDES:
        return columns.source_width, columns.source_height
    return (columns.caption,)


def _values(condition: Condition, row: Mapping[str, Any], columns: Columns) -> tuple[Any, ...]:
    return tuple(None if name is None else row.get(name) for name in needed_columns(condition, columns))


def _measure(condition: Condition, values: tuple[Any, ...]) -> tuple[float | str | None, str]:
    """What is compared, or None and why there is nothing to compare."""
    name = _derived_name(condition)
    if name is None:
        return _number(values[0]) if condition.takes_number else _text(values[0])
    if name in OF_SIDES:
        return side_measure(name, _number(values[0])[0], _number(values[1])[0]), _MISSING
    caption = as_written(values[0])
    if caption is None:
        return None, _MISSING
    if name == CAPTION_WORDS:
        return float(len(caption.split())), ""
    if name == CAPTION_CHARS:
        return float(len(caption)), ""
    return detect_language(caption) or None, _MISSING


def side_measure(name: str, width: float | None, height: float | None) -> float | None:
    """``min_side``, ``max_side`` (px) or ``aspect_ratio`` (long side / short side); None if there is none."""
    if width is None or height is None:
        return None
    short, long = min(width, height), max(width, height)
    if name == MIN_SIDE:
        return short
    if name == MAX_SIDE:
        return long
    ratio = long / short if short > 0 else math.nan
    return None if math.isnan(ratio) else ratio


def _number(value: Any) -> tuple[float | None, str]:
    """A value as float64. Texts may hold a number as tables write it."""
    if isinstance(value, str | bytes):
        text = as_text(value)
        value = None if text is None else parse_number(text)
        if text is not None and value is None:
            return None, _NO_NUMBER
    if value is None:
        return None, _MISSING
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None, _NO_NUMBER
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a whole number beyond float64; a signalling NaN
        number = math.nan if isinstance(value, Decimal) else math.inf if value > 0 else -math.inf
    return (None, _MISSING) if math.isnan(number) else (number, "")


def _text(value: Any) -> tuple[str | None, str]:
    """A value as text, without spaces around it; truth values as JSON writes them."""
    if isinstance(value, bool):
        return str(value).lower(), ""
    if value is not None and not isinstance(value, str | bytes):
        is_nan = isinstance(value, float) and math.isnan(value)
        return None, _MISSING if is_nan else _NO_TEXT
    text = as_text(value)
    return text, _MISSING if text is None else ""


def _derived_name(condition: Condition) -> str | None:
    return condition.name if condition.is_derived else None
