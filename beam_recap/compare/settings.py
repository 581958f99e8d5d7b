"""The command line of ``pipelines.compare``: two directories and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beam_recap.flag import ConfigError, Flag, read_flags
from beam_recap.flag_values import boolean, integer, names, number, or_none, text
from beam_recap.flag_words import format_flags, split_words

DEFAULT_OUTPUT = "beam-recap-compare"
BY_URL_AND_CAPTION = "auto"

COMPARE_FLAGS: tuple[Flag, ...] = (
    Flag(
        "output",
        "output",
        DEFAULT_OUTPUT,
        or_none(text),
        "Directory for compare.json, with every number, and compare.html, local or gs://; what an earlier comparison "
        "has written there is replaced. none: only the table on the terminal.",
    ),
    Flag(
        "rows",
        "output",
        "5",
        integer(0, 100),
        "Examples of each group: of a column's changed values, and of the rows that are newly kept or newly rejected "
        "for one reason. They are chosen by a hash of the row's identity, so they repeat.",
    ),
    Flag(
        "key",
        "rows",
        BY_URL_AND_CAPTION,
        names(),
        "Columns that say which row of B is a row of A, separated by commas: uid, key, url, caption (the original "
        "one), source_row or any other that data/ and rejected/ of both have. auto: url and caption, and the key of "
        "rows without a URL. Equal ones are taken in order.",
    ),
    Flag(
        "tolerance",
        "rows",
        "0",
        number(0, 1e12, "give a number of at least 0"),
        "Numbers whose difference is at most this are equal.",
    ),
    Flag(
        "exit_code",
        "running",
        "false",
        boolean,
        "End with exit status 1 where rows or their values differ. Columns that name a run's models and config, such "
        "as config_digest, do not count.",
    ),
    Flag(
        "memory_gb",
        "running",
        "2",
        number(0.25, 10_000, "give GB from 0.25 to 10000"),
        "Memory that the comparison may take, about; more goes to the temporary folder.",
    ),
    Flag(
        "temporary_folder",
        "running",
        "none",
        or_none(text),
        "Local folder for what does not fit into memory, and for copies of Parquet files that are on gs://; none: the "
        "system's.",
    ),
)


class CompareError(ConfigError):
    """Something that cannot be compared: one sentence with the remedy."""

    def __init__(self, sentence: str):
        ValueError.__init__(self, sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """The two runs, and how to compare them; each other field is the flag of its name."""

    a: str  # directory of the run before
    b: str  # of the run after
    output: str | None
    rows: int
    key: tuple[str, ...] | None  # None: chosen by what there is
    tolerance: float
    exit_code: bool
    memory_gb: float
    temporary_folder: str | None


def parse_flags(argv: Sequence[str]) -> CompareSettings:
    """The checked command line.

    Raises:
      ConfigError: not two directories, an unknown flag, one without a value or given twice, or a value that it does
        not take.
    """
    given, directories = split_words(argv, [flag.name for flag in COMPARE_FLAGS])
    if len(directories) != 2 or not all(map(str.strip, directories)):
        shown = ", ".join(directories[:4]) or "none"
        raise CompareError(
            f"compares two directories, and {len(directories)} are given ({shown}); write A B, the output directories "
            "of the run before and of the run after, and flags as --name=value"
        )
    values = read_flags(COMPARE_FLAGS, given)
    if values["key"] == (BY_URL_AND_CAPTION,):
        values["key"] = None
    return CompareSettings(a=directories[0], b=directories[1], **values)


def format_help(prog: str) -> str:
    """The text of ``--help``."""
    return format_flags(
        prog,
        "A B [--flag=value ...]",
        "Tells what changed between two finished runs, whose output directories are A (before) and B (after), local or "
        "gs://: per column, per reason and per row. Prints a table, and writes compare.json and compare.html.",
        COMPARE_FLAGS,
        "Exit status: 0: compared, whether or not there are differences (but see --exit_code); 1: the rows do not add "
        "up to what the runs' summaries say, or the comparison failed; 2: it cannot be used so.",
    )
