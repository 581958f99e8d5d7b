"""The command line: our flags beside Beam's own, with nothing unknown let through."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from beam_recap.config import RecapConfig
from beam_recap.flag import PRESET_VALUE, ConfigError
from beam_recap.flags import FLAGS

_NEGATIVE_NUMBER = re.compile(r"-\d+(\.\d*)?|-\.\d+")  # as argparse knows them: values, not flags


class RecapOptions(PipelineOptions):
    """Declares every flag of :data:`beam_recap.flags.FLAGS` to Beam, as text; `RecapConfig` does the checking."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for flag in FLAGS:
            parser.add_argument(f"--{flag.name}", default=None, metavar="VALUE", help=_help(flag.help, flag.default))

    def config(self) -> RecapConfig:
        """The checked config. Raises `ConfigError`."""
        given = self.view_as(RecapOptions)
        return RecapConfig.from_flags({flag.name: getattr(given, flag.name) for flag in FLAGS})


def parse_options(argv: Sequence[str]) -> RecapOptions:
    """Turns a command line into options.

    Raises:
      ConfigError: a flag that neither this project nor Beam knows, or that lacks its value.
    """
    known = _all_parsers()
    names = {name for action in known._actions for name in action.option_strings}
    ours = {f"--{flag.name}" for flag in FLAGS}
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
    return RecapOptions(words)


def format_help(prog: str) -> str:
    """The text of ``--help``: our flags by group."""
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [--input=PATTERN --output=DIR] [--flag=value ...]",
        description="Turns shards of image-text rows into a filtered, scored, re-captioned dataset. "
        "Without --input it runs a small embedded demonstration.",
        epilog="Every flag of Apache Beam works too, for example --runner=DirectRunner or --runner=DataflowRunner.",
        add_help=False,
    )
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(flag.group for flag in FLAGS)}
    for flag in FLAGS:
        groups[flag.group].add_argument(f"--{flag.name}", metavar="VALUE", help=_help(flag.help, flag.default))
    return parser.format_help()


def _help(text: str, default: str | None) -> str:
    shown = {None: "", PRESET_VALUE: " Default: by preset."}.get(default, f" Default: {default}")
    return (text + shown).replace("%", "%%")


def _all_parsers() -> argparse.ArgumentParser:
    # Raises ArgumentError for a bad value, where the views that Beam makes later would print a page of usage and exit.
    parser = _BeamArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve", exit_on_error=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser
