"""Flag values as texts: readers, which raise `ValueError` with what is wrong and what to do, and the way back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any


def text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; give a value or leave the flag out")
    return value


def patterns(value: str) -> tuple[str, ...]:
    found = tuple(p.strip() for p in value.split(",") if p.strip())
    if not found:
        raise ValueError("names no file; give paths or globs separated by commas")
    return found


def boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false; give one of them")
    return value.lower() == "true"


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"is unknown; give one of {', '.join(allowed)}")
        return value

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"is not a whole number; give one from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"is out of range; give a whole number from {low} to {high}")
        return number

    return parse


def number(low: float, high: float, scale: str) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"is not a number; {scale}") from None
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError(f"is out of range; {scale}")
        return number

    return parse


def names(*allowed: str, alias: str = "") -> Callable[[str], tuple[str, ...]]:
    """Words separated by commas, in lower case; any unless some are allowed. ``alias`` names the empty list."""

    def parse(value: str) -> tuple[str, ...]:
        if alias and value.lower() == alias:
            return ()
        given = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",")))
        for name in given:
            if not name or (allowed and name not in allowed):
                raise ValueError(
                    f"has the unknown part {name!r}; give some of {', '.join(allowed)}"
                    if allowed
                    else "has an empty part"
                )
        return given

    return parse


def listed(value: str) -> tuple[str, ...]:
    """Texts separated by commas, each once; () for none, written ``none``."""
    if value.lower() == "none":
        return ()
    given = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if "" in given:
        raise ValueError("has an empty part")
    return given


def each_of(*wanted: str) -> Callable[[str], tuple[str, ...]]:
    """All of some words, in any order, separated by commas."""

    def parse(value: str) -> tuple[str, ...]:
        given = tuple(part.strip().lower() for part in value.split(","))
        if sorted(given) != sorted(wanted):
            raise ValueError(f"must name each of {', '.join(wanted)} once")
        return given

    return parse


def ports(value: str) -> tuple[int, ...]:
    """Port numbers separated by commas; () for any, written ``none``."""
    if value.lower() == "none":
        return ()
    return tuple(dict.fromkeys(integer(1, 65535)(port.strip()) for port in value.split(",")))


def or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: None if value.lower() == "none" else parse(value)


def matching(pattern: str, remedy: str) -> Callable[[str], str]:
    """Text of a given form."""

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(remedy)
        return value

    return parse


def holding_once(place: str, remedy: str) -> Callable[[str], str]:
    """Text with a place to be filled in."""

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
