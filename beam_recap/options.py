"""The command line of ``pipelines.recap``: our flags beside Beam's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from beam_recap.command_line import FlagOptions, declare_flags, format_flags, given_flags, parse_command_line
from beam_recap.config import RecapConfig
from beam_recap.flags import FLAGS


class RecapOptions(FlagOptions, PipelineOptions):
    """Declares every flag of :data:`beam_recap.flags.FLAGS` to Beam, as text; `RecapConfig` does the checking."""

    flags = FLAGS

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        declare_flags(parser, FLAGS)

    def config(self) -> RecapConfig:
        """The checked config. Raises `ConfigError`."""
        return RecapConfig.from_flags(given_flags(self))


def parse_options(argv: Sequence[str]) -> RecapOptions:
    """Turns a command line into options.

    Raises:
      ConfigError: a flag that neither this project nor Beam knows, or that lacks its value.
    """
    return parse_command_line(argv, RecapOptions)


def format_help(prog: str) -> str:
    """The text of ``--help``: our flags by group."""
    return format_flags(
        prog,
        "[--input=PATTERN --output=DIR] [--flag=value ...]",
        "Turns shards of image-text rows into a filtered, scored, re-captioned dataset. "
        "Without --input it runs a small embedded demonstration.",
        FLAGS,
    )
