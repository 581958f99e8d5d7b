"""The command line of ``pipelines.plan``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from beam_recap.command_line import FlagOptions, declare_flags, format_flags, given_flags, parse_command_line
from beam_recap.plan.config import PlanConfig
from beam_recap.plan.flags import FLAGS


class PlanOptions(FlagOptions, PipelineOptions):
    """Declares every flag of :data:`beam_recap.plan.flags.FLAGS` to Beam, as text."""

    flags = FLAGS

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        declare_flags(parser, FLAGS)

    def config(self) -> PlanConfig:
        """The checked config. Raises `ConfigError`."""
        return PlanConfig.from_flags(given_flags(self))


def parse_options(argv: Sequence[str]) -> PlanOptions:
    """Turns a command line into options. Raises `ConfigError`."""
    return parse_command_line(argv, PlanOptions)


def format_help(prog: str) -> str:
    """The text of ``--help``: the plan's own flags first."""
    return format_flags(
        prog,
        "--input=PATTERN --output=DIR [--flag=value ...]",
        "Tells what the job of the same flags will take, without doing it: hours, workers for a deadline, dollars, "
        "with intervals, for each machine type. Runs a sample of rows on this machine; nothing is written to --output.",
        FLAGS,
    )
