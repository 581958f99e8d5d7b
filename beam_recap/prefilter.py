"""The prefilter's conditions as texts: what ``--prefilter`` takes, read strictly and written back.

A text is conditions separated by commas, all of which must hold, or ``none``. A condition is NAME OP VALUE, as in
``similarity>0.3``, with OP one of ``>``, ``>=``, ``<``, ``<=``, ``==``, ``!=``. Names and values that hold spaces,
commas, quotes or comparison signs stand in single or double quotes, in which a doubled quote stands for itself. A bare
number is a number, everything else a text. ``basic`` stands for DataComp's basic filter, written out.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beam_recap.language import LANGUAGE_CODES

# What is computed of a row, in place of a column of the source.
CAPTION_WORDS = "caption_words"
CAPTION_CHARS = "caption_chars"
MIN_SIDE = "min_side"
MAX_SIDE = "max_side"
ASPECT_RATIO = "aspect_ratio"
LANGUAGE = "language"
DERIVED = (CAPTION_WORDS, CAPTION_CHARS, MIN_SIDE, MAX_SIDE, ASPECT_RATIO, LANGUAGE)
OF_SIDES = (MIN_SIDE, MAX_SIDE, ASPECT_RATIO)
COLUMN_PREFIX = "column:"  # begins the name of a source's column that is called as one of those

# DataComp's basic filter. Source: mlfoundations/datacomp, baselines/apply_filter.py,
# load_uids_with_basic_filter_helper.
BASIC = "language==en,caption_words>2,caption_chars>5,min_side>=200,aspect_ratio<=3"

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_EQUALITY = ("==", "!=")

_QUOTED = r""""(?:[^"]|"")*+"|'(?:[^']|'')*+'"""
_BARE = r"""[^\s,"'<>=!]++"""
_CONDITION = re.compile(
    rf"""\s*+(?:
        (?P<basic>basic)(?=\s*+(?:,|\Z))
        | (?P<name>{_QUOTED}|{_BARE})\s*+(?P<operator>[<>=!]++)\s*+(?P<value>{_QUOTED}|{_BARE})
    )\s*+(?:,|\Z)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?+(?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?+\d++)?", re.ASCII | re.IGNORECASE)
_INFINITE = re.compile(r"[+-]?+inf(?:inity)?", re.IGNORECASE)
_NO_NUMBER = re.compile(r"[+-]?+nan", re.IGNORECASE)
_MAX_NUMBER_CHARS = 5000  # beyond what any format writes; reading more would take long
_SHOWN_CHARS = 60
_EXAMPLE = "give conditions such as similarity>0.3, separated by commas"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row must fulfil.

    ``name`` is one of `DERIVED` if ``is_derived``, else a column of the source. ``value`` is a finite number (float64)
    or a text without spaces around it.
    """

    name: str
    operator: str
    value: float | str
    is_derived: bool = False

    @property
    def takes_number(self) -> bool:
        return isinstance(self.value, float)

    @property
    def subject(self) -> str:
        """The name as the flag takes it, without quotes."""
        needs_prefix = not self.is_derived and (self.name in DERIVED or self.name.startswith(COLUMN_PREFIX))
        return COLUMN_PREFIX + self.name if needs_prefix else self.name

    def __str__(self) -> str:
        """The text that gives the condition again."""
        value = number_text(self.value) if isinstance(self.value, float) else _quoted(self.value, is_value=True)
        return f"{_quoted(self.subject)}{self.operator}{value}"

    def holds(self, value: float | str) -> bool:
        """Whether a row with this value passes; the value is of the same kind as the condition's."""
        return bool(OPERATORS[self.operator](value, self.value))

    def failure(self, value: float | str) -> str:
        """Why a row with this value does not pass."""
        subject, wanted = _phrases(self)
        return f"{subject} {_value_text(value)} is not {wanted}"

    def no_value(self, problem: str) -> str:
        """Why a row without such a value does not pass; ``problem`` is like "is missing"."""
        return f"{_phrases(self)[0]} {problem}"


def prefilter(text: str) -> tuple[str, ...]:
    """The flag's value: each condition once, in one way of writing; () for ``none``.

    Raises:
      ValueError: what is wrong, and what to do.
    """
    if text.strip().lower() == "none":
        return ()
    return tuple(map(str, parse_conditions(text)))


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Reads conditions; equal ones once.

    Raises:
      ValueError: what is wrong, and what to do.
    """
    found: dict[Condition, None] = {}
    position = 0
    while True:
        match = _CONDITION.match(text, position)
        if match is None:
            raise ValueError(_problem(text[position:]))
        if match["basic"]:
            found.update(dict.fromkeys(parse_conditions(BASIC)))
        else:
            found[_condition(match["name"], match["operator"], match["value"])] = None
        position = match.end()
        if position == len(text) and text[position - 1 : position] != ",":
            return tuple(found)


def _problem(rest: str) -> str:
    if not rest.strip() or rest.lstrip().startswith(","):
        return f"has an empty condition; {_EXAMPLE}"
    return f"has a condition that cannot be read at {shown(rest)!r}; {_EXAMPLE}, other names and texts in double quotes"


def _condition(name_text: str, sign: str, value_text: str) -> Condition:
    name = _unquoted(name_text)
    is_derived = name in DERIVED
    name = name.removeprefix(COLUMN_PREFIX)
    if not name.strip():
        raise ValueError(f"has a condition without a column; {_EXAMPLE}")
    value = _value(value_text)
    where = shown(f"{name} {sign} {value_text}")
    if sign not in OPERATORS:
        raise ValueError(f"has the unknown comparison {shown(sign)!r}; give >, >=, <, <=, == or !=")
    if value == "":
        raise ValueError(f"compares {where} with nothing; give a value (a missing one never passes)")
    if is_derived and name == LANGUAGE:
        value = _language(value, value_text)
    elif is_derived and isinstance(value, str):
        raise ValueError(f"compares {where}, but {name} is a number; give one without quotes, such as 3")
    if isinstance(value, str) and sign not in _EQUALITY:
        remedy = "give one of them" if is_derived else "give one of them, or a number without quotes"
        raise ValueError(f"compares {where}, but texts are compared by == and != only; {remedy}")
    return Condition(name, sign, value, is_derived)


def _value(text: str) -> float | str:
    if text[0] in "\"'":
        return _unquoted(text).strip()
    if _INFINITE.fullmatch(text) or _NO_NUMBER.fullmatch(text):
        raise ValueError(f"compares with {text}; give a finite number")
    number = parse_number(text)
    if number is None:
        return text
    if not math.isfinite(number):
        raise ValueError(f"compares with {shown(text)}, which is out of range; give a number of 64-bit floating point")
    return number


def _language(value: float | str, written: str) -> str:
    code = value.lower() if isinstance(value, str) else ""
    if code not in LANGUAGE_CODES:
        raise ValueError(f"has the unknown language {shown(written)}; give an ISO 639-1 code, such as en, de or zh")
    return code


def parse_number(text: str) -> float | None:
    """The float64 that a text stands for: decimal, ``inf``, ``nan``; None if it is no number."""
    text = text.strip()
    if len(text) > _MAX_NUMBER_CHARS:
        return None
    is_number = _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text) or _NO_NUMBER.fullmatch(text)
    return float(text) if is_number else None


def number_text(number: float) -> str:
    """The shortest text that gives the number again; whole ones without a point."""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def shown(text: str) -> str:
    """A text of anyone's, in one printable line of bounded length."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 2 * _SHOWN_CHARS])
    line = " ".join(printable.split())
    return line if len(line) <= _SHOWN_CHARS and len(text) <= 2 * _SHOWN_CHARS else line[:_SHOWN_CHARS] + "…"


@functools.lru_cache(maxsize=1024)
def _phrases(condition: Condition) -> tuple[str, str]:
    """What is compared, and with what. Asked for by most rows of some runs."""
    return shown(condition.subject), f"{condition.operator} {_value_text(condition.value)}"


def _value_text(value: float | str) -> str:
    return number_text(value) if isinstance(value, float) else f'"{shown(value)}"'


def _unquoted(text: str) -> str:
    if text[0] not in "\"'":
        return text
    return text[1:-1].replace(text[0] * 2, text[0])


def _quoted(text: str, *, is_value: bool = False) -> str:
    is_bare = re.fullmatch(_BARE, text) and not (is_value and _is_numeric(text))
    return text if is_bare else '"' + text.replace('"', '""') + '"'


def _is_numeric(text: str) -> bool:
    return parse_number(text) is not None
