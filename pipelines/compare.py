"""Tells what changed between two finished runs: ``python -m pipelines.compare A B``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from beam_recap.compare import output
from beam_recap.compare.comparison import compare_runs
from beam_recap.compare.settings import format_help, parse_flags
from beam_recap.compare.terminal_table import print_tables
from pipelines.running import run_command

_LOG = logging.getLogger("beam_recap.compare")
PROG = "python -m pipelines.compare"


def run(argv: Sequence[str]) -> int:
    """Checks the command line, compares the runs, prints the tables and writes the files.

    Returns:
      The exit status: 1 where rows do not add up, or differ and the user asked for that.

    Raises:
      ConfigError: something cannot be used; nothing was written.
    """
    settings = parse_flags(argv)
    output.check(settings)
    comparison = compare_runs(settings)
    print_tables(comparison)
    for path in output.write(settings.output, comparison):
        _LOG.info("Wrote %s", path)
    if not comparison["accounting"]["adds_up"]:
        _LOG.error("The rows do not add up to what the runs' summaries say; see the lines that begin with an !.")
        return 1
    return int(settings.exit_code and comparison["differ"])


def main(argv: Sequence[str]) -> int:
    """The command; see `run_command`."""
    statuses: list[int] = []
    ended = run_command(
        PROG,
        argv,
        lambda words: statuses.append(run(words)),
        format_help,
        if_interrupted="interrupted; nothing was written",
    )
    return ended or sum(statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
