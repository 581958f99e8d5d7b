"""The command line of ``pipelines.audit``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from beam_recap.audit.config import AuditConfig
from beam_recap.audit.flags import AUDIT_FLAGS
from beam_recap.command_line import FlagOptions, declare_flags, format_flags, given_flags, parse_command_line


class AuditOptions(FlagOptions, PipelineOptions):
    """Declares every flag of :data:`beam_recap.audit.flags.AUDIT_FLAGS` to Beam, as text."""

    flags = AUDIT_FLAGS

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        declare_flags(parser, AUDIT_FLAGS)

    def config(self) -> AuditConfig:
        """The checked config. Raises `ConfigError`."""
        return AuditConfig.from_flags(given_flags(self))


def parse_options(argv: Sequence[str]) -> AuditOptions:
    """Turns a command line into options. Raises `ConfigError`."""
    return parse_command_line(argv, AuditOptions)


def format_help(prog: str) -> str:
    """The text of ``--help``: the audit's flags by group."""
    return format_flags(
        prog,
        "--input=PATTERN --output=DIR [--flag=value ...]",
        "Tells how text-biased image-text rows are, and how much a CLIP model looks at text. Writes audit.json and "
        "audit.html.",
        AUDIT_FLAGS,
    )
