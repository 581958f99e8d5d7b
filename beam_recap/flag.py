"""What a flag is, and what is said of one that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEMO = "demo"  # the models and the shard that ship with the project
PRESET_VALUE = "(preset)"  # the default comes from the preset
_SHOWN_CHARS = 500  # of a value that cannot be used


class ConfigError(ValueError):
    """A flag that cannot be used: one sentence that names the flag, its value and the remedy."""

    def __init__(self, flag: str, value: object, problem: str):
        super().__init__(f"--{flag}={_in_one_line(value)}: {problem}")


def _in_one_line(value: object) -> str:
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in str(value))
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    ``parse`` turns the text into a value or raises `ValueError` with what is wrong and what to do; if it is a
    `flag_values.Reader`, it also tells the text's form. ``decides_outcome`` marks what belongs to a run's identity:
    another value could end a row differently.
    """

    name: str
    group: str
    default: str | None
    parse: Callable[[str], Any]
    help: str
    decides_outcome: bool = True


def read_flags(flags: Sequence[Flag], given: Mapping[str, str]) -> dict[str, Any]:
    """The values of flags; one that was not given and has no default is left out.

    Raises:
      ConfigError: a flag is unknown or malformed.
    """
    if unknown := set(given) - {flag.name for flag in flags}:
        raise ConfigError(min(unknown), given[min(unknown)], "no such flag; see --help")
    values: dict[str, Any] = {}
    for flag in flags:
        text = given.get(flag.name, flag.default)
        if text is None or text == PRESET_VALUE:
            continue
        try:
            values[flag.name] = flag.parse(text)
        except ValueError as error:
            raise ConfigError(flag.name, text, str(error)) from None
    return values
