"""Command lines of pipelines: a program's own flags beside Beam's, with nothing unknown let through."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from beam_recap import flag_words
from beam_recap.flag import ConfigError, Flag

_NEGATIVE_NUMBER = re.compile(r"-\d+(\.\d*)?|-\.\d+")  # as argparse knows them: values, not flags


class FlagOptions:
    """A program's own options. What derives from this also derives, directly, from `PipelineOptions`, and declares its
    flags itself (`declare_flags`): Beam looks no further.
    """

    flags: ClassVar[tuple[Flag, ...]] = ()


def declare_flags(parser: argparse.ArgumentParser, flags: Sequence[Flag]) -> None:
    """Declares flags to Beam, as text; what they mean is checked by `read_flags`.

    Beam asks all programs that a process has imported to declare theirs to one parser, and they share some.
    """
    declared = {name for action in parser._actions for name in action.option_strings}
    for flag in flags:
        if f"--{flag.name}" not in declared:
            parser.add_argument(f"--{flag.name}", default=None, metavar="VALUE", help=flag_words.help_of(flag))


Options = TypeVar("Options", bound=FlagOptions)


def parse_command_line(argv: Sequence[str], program: type[Options]) -> Options:
    """Turns a command line into a program's options.

    Raises:
      ConfigError: a flag that neither this program nor Beam knows, or that lacks its value.
    """
    known = _all_parsers(program)
    names = {name for action in known._actions for name in action.option_strings}
    ours = {f"--{flag.name}" for flag in program.flags}
    words = list(argv)
    for position, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if not word.startswith("-") or _NEGATIVE_NUMBER.fullmatch(word):
            if position == 0 or "=" in words[position - 1] or words[position - 1] not in names:
                raise ConfigError("input", word, "flags look like --name=value; did you mean this?")
            continue
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            raise ConfigError(name.lstrip("-"), value, f"no such flag; {hint}")
        if name in ours and not has_value and (position + 1 == len(words) or words[position + 1].startswith("--")):
            raise ConfigError(name.lstrip("-"), "", "has no value; write --flag=value")
    try:
        _, left_over = known.parse_known_args(words)
    except argparse.ArgumentError as error:
        name = (error.argument_name or "").rsplit("/", 1)[-1].lstrip("-")
        value = next((word.partition("=")[2] for word in words if word.startswith(f"--{name}=")), "")
        raise ConfigError(name, value, f"{error.message}; see Beam's documentation of this flag") from None
    if left_over:
        raise ConfigError("input", left_over[0], "flags look like --name=value; did you mean this?")
    return program(words)  # type: ignore[call-arg]


def given_flags(options: Options) -> dict[str, str]:
    """The texts of the program's own flags that were given, by name."""
    view: Any = options.view_as(type(options))  # type: ignore[attr-defined]
    texts = {flag.name: getattr(view, flag.name) for flag in options.flags}
    return {name: text for name, text in texts.items() if text is not None}


def format_flags(prog: str, usage: str, description: str, flags: Sequence[Flag]) -> str:
    """The text of ``--help``: the program's own flags by group."""
    epilog = "Every flag of Apache Beam works too, for example --runner=DirectRunner or --runner=DataflowRunner."
    return flag_words.format_flags(prog, usage, description, flags, epilog)


def _all_parsers(program: type[FlagOptions]) -> argparse.ArgumentParser:
    # Raises ArgumentError for a bad value, where the views that Beam makes later would print a page of usage and exit.
    parser = _BeamArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve", exit_on_error=False)
    for options in PipelineOptions.__subclasses__():
        if not issubclass(options, FlagOptions) or options is program:  # another program's flags are not this one's
            options._add_argparse_args(parser)
    return parser
