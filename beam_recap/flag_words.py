"""Command lines of programs without Beam's flags: ``--name=value`` words, and the text of ``--help``."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection, Sequence

from beam_recap.flag import PRESET_VALUE, ConfigError, Flag


def split_words(argv: Sequence[str], names: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The texts of the flags that were given, by name, and the words that are no flags.

    Raises:
      ConfigError: an unknown flag, one without a value, or one that is given twice.
    """
    given: dict[str, str] = {}
    bare: list[str] = []
    for word in argv:
        if not word.startswith("--"):
            bare.append(word)
            continue
        name, has_value, value = word.removeprefix("--").partition("=")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
            raise ConfigError(name, value, f"no such flag; {f'did you mean --{near[0]}?' if near else 'see --help'}")
        if not has_value:
            raise ConfigError(name, "", "has no value; write --flag=value")
        if name in given:
            raise ConfigError(name, value, f"is given twice, first as {given[name]}; leave one of them out")
        given[name] = value
    return given, bare


def refuse_bare_words(bare: Sequence[str]) -> None:
    """For programs that take flags only.

    Raises:
      ConfigError: there is a word that is no flag.
    """
    if bare:
        raise ConfigError("input", bare[0], "flags look like --name=value; did you mean this?")


def format_flags(prog: str, usage: str, description: str, flags: Sequence[Flag], epilog: str | None = None) -> str:
    """The text of ``--help``: the program's flags by group."""
    parser = argparse.ArgumentParser(
        prog=prog, usage=f"{prog} {usage}", description=description, epilog=epilog, add_help=False
    )
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(flag.group for flag in flags)}
    for flag in flags:
        groups[flag.group].add_argument(f"--{flag.name}", metavar="VALUE", help=help_of(flag))
    return parser.format_help()


def help_of(flag: Flag) -> str:
    """A flag's help and default, as argparse takes it."""
    shown = {None: "", PRESET_VALUE: " Default: by preset."}.get(flag.default, f" Default: {flag.default}")
    return (flag.help + shown).replace("%", "%%")
