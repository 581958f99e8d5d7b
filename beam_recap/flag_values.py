"""Flag values as texts: readers, which raise `ValueError` with what is wrong and what to do, and the way back.

Each reader also tells the form of what it takes, a regular expression, for those who check a text before it comes here
(the Flex Template's metadata). What it reads has that form, because it looks.
"""

from __future__ import annotations

import enum
import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

_SPACE = r"[ \t\r\n]*"
_DIGITS = r"[0-9](?:_?[0-9])*"  # as Python writes them
_INTEGER = rf"{_SPACE}[+-]?{_DIGITS}{_SPACE}"
_NUMBER = rf"{_SPACE}[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?{_SPACE}"
_ANYTHING = r"[\s\S]*"
_NOT_BLANK = rf"{_ANYTHING}\S{_ANYTHING}"
_PART = r"[^,]*[^\s,][^,]*"  # of what commas separate


class Kind(enum.Enum):
    """What a form offers for a value."""

    TEXT = enum.auto()
    BOOLEAN = enum.auto()
    NUMBER = enum.auto()
    CHOICE = enum.auto()


@dataclass(frozen=True, slots=True)
class Reader(Generic[Value]):
    """A function from a text to a value, and what is known of the texts.

    ``form`` matches all of every text that is read. It keeps to what Python, Java, JavaScript and RE2 read alike: no
    look-around, no flags, and classes such as ``\\s`` of ASCII only.
    """

    read: Callable[[str], Value]
    form: str
    kind: Kind = Kind.TEXT
    choices: tuple[str, ...] = ()

    def __call__(self, value: str) -> Value:
        found = self.read(value)
        if not _compiled(self.form).fullmatch(value):  # digits of other scripts, say
            raise ValueError("has characters that are not understood; write it in ASCII")
        return found


_compiled = functools.lru_cache(maxsize=None)(functools.partial(re.compile, flags=re.ASCII))


def reader(
    form: str, kind: Kind = Kind.TEXT, choices: tuple[str, ...] = ()
) -> Callable[[Callable[[str], Value]], Reader[Value]]:
    """Makes a function a `Reader`."""
    return lambda read: Reader(read, form, kind, choices)


def form_of(parse: Callable[[str], Any]) -> str:
    """The form of what a function reads; anything at all where it does not tell."""
    return parse.form if isinstance(parse, Reader) else _ANYTHING


def _literally(word: str) -> str:
    return re.sub(r"[\\^$.|?*+(){}\[\]]", r"\\\g<0>", word)  # re.escape escapes more than other engines allow


def _any_case(word: str) -> str:
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else _literally(c) for c in word)


def _separated(part: str) -> str:
    return f"(?:{part})(?:,(?:{part}))*"


def _one_of(words: tuple[str, ...]) -> str:
    return f"{_SPACE}(?:{'|'.join(map(_any_case, words))}){_SPACE}"


@reader(_NOT_BLANK)
def text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; give a value or leave the flag out")
    return value


@reader(rf"{_ANYTHING}[^\s,]{_ANYTHING}")
def patterns(value: str) -> tuple[str, ...]:
    found = tuple(p.strip() for p in value.split(",") if p.strip())
    if not found:
        raise ValueError("names no file; give paths or globs separated by commas")
    return found


@reader("|".join(map(_any_case, ("true", "false"))), Kind.BOOLEAN)
def boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false; give one of them")
    return value.lower() == "true"


def choice(*allowed: str) -> Reader[str]:
    @reader("|".join(map(_literally, allowed)), Kind.CHOICE, allowed)
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"is unknown; give one of {', '.join(allowed)}")
        return value

    return parse


def integer(low: int, high: int) -> Reader[int]:
    @reader(_INTEGER, Kind.NUMBER)
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"is not a whole number; give one from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"is out of range; give a whole number from {low} to {high}")
        return number

    return parse


def number(low: float, high: float, scale: str) -> Reader[float]:
    @reader(_NUMBER, Kind.NUMBER)
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"is not a number; {scale}") from None
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError(f"is out of range; {scale}")
        return number

    return parse


def names(*allowed: str, alias: str = "") -> Reader[tuple[str, ...]]:
    """Words separated by commas, in lower case; any unless some are allowed. ``alias`` names the empty list."""
    form = _separated(_one_of(allowed) if allowed else _PART)

    @reader(f"{_any_case(alias)}|{form}" if alias else form)
    def parse(value: str) -> tuple[str, ...]:
        if alias and value.lower() == alias:
            return ()
        given = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",")))
        for name in given:
            if not name or (allowed and name not in allowed):
                some = f"some of {', '.join(allowed)}" if allowed else "words separated by commas"
                problem = f"has the unknown part {name!r}" if name else "has an empty part"
                raise ValueError(f"{problem}; give {some}{f', or {alias}' if alias else ''}")
        return given

    return parse


@reader(_separated(_PART))
def listed(value: str) -> tuple[str, ...]:
    """Texts separated by commas, each once; () for none, written ``none``."""
    if value.lower() == "none":
        return ()
    given = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if "" in given:
        raise ValueError("has an empty part; give items separated by commas, or none")
    return given


def one_and_more(always: str, more: tuple[str, ...], because: str) -> Reader[tuple[str, ...]]:
    """A word that must be given, and any of some others, in any order, separated by commas; the word comes first."""
    allowed = (always, *more)

    @reader(_separated(_one_of(allowed)))
    def parse(value: str) -> tuple[str, ...]:
        given = {part.strip().lower() for part in value.split(",")}
        if unknown := given - set(allowed):
            remedy = f"give {always}, or {','.join(allowed)}"
            raise ValueError(f"has the unknown part {min(unknown)!r}; {remedy}")
        if always not in given:
            wanted = ",".join(name for name in allowed if name in given | {always})
            raise ValueError(f"lacks {always}: {because}; give {wanted}")
        return tuple(name for name in allowed if name in given)

    return parse


def each_of(*wanted: str) -> Reader[tuple[str, ...]]:
    """All of some words, in any order, separated by commas."""

    @reader(_separated(_one_of(wanted)))
    def parse(value: str) -> tuple[str, ...]:
        given = tuple(part.strip().lower() for part in value.split(","))
        if sorted(given) != sorted(wanted):
            raise ValueError(f"must name each of {', '.join(wanted)} once; give for example {','.join(wanted)}")
        return given

    return parse


@reader(f"{_any_case('none')}|{_separated(_INTEGER)}")
def ports(value: str) -> tuple[int, ...]:
    """Port numbers separated by commas; () for any, written ``none``."""
    if value.lower() == "none":
        return ()
    try:
        return tuple(dict.fromkeys(integer(1, 65535)(port.strip()) for port in value.split(",")))
    except ValueError:
        raise ValueError("is no list of ports; give numbers from 1 to 65535 separated by commas, or none") from None


def or_none(parse: Callable[[str], Value]) -> Reader[Value | None]:
    """What another function reads, or ``none``."""
    choices = (*parse.choices, "none") if isinstance(parse, Reader) and parse.kind is Kind.CHOICE else ()

    def read(value: str) -> Value | None:
        if value.lower() == "none":
            return None
        try:
            return parse(value)
        except ValueError as error:
            is_told = not isinstance(parse, Reader) or parse.kind is Kind.TEXT or "none" in str(error)
            raise ValueError(str(error) if is_told else f"{error}, or none") from None

    return Reader(
        read,
        f"{_any_case('none')}|(?:{form_of(parse)})",
        Kind.CHOICE if choices else Kind.TEXT,
        choices,
    )


def matching(pattern: str, remedy: str) -> Reader[str]:
    """Text of a given form."""

    @reader(pattern)
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(remedy)
        return value

    return parse


def holding_once(place: str, remedy: str) -> Reader[str]:
    """Text with a place to be filled in."""

    @reader(f"{_ANYTHING}{_literally(place)}{_ANYTHING}")
    def parse(value: str) -> str:
        if value.count(place) != 1:
            raise ValueError(remedy)
        return value

    return parse


def as_text(value: Any) -> str:
    """The text that gives the value again: ``none`` for None and for no items, ``true``, items with commas."""
    if value is None or value in ((), []):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
