"""The command line of a comparison."""

from __future__ import annotations

import pytest

from beam_recap.compare.settings import COMPARE_FLAGS, CompareSettings, format_help, parse_flags
from beam_recap.flag import ConfigError


def test_defaults() -> None:
    assert parse_flags(["before", "after"]) == CompareSettings(
        a="before", b="after", output="beam-recap-compare", rows=5, key=None, tolerance=0.0, exit_code=False,
        memory_gb=2.0, temporary_folder=None,
    )  # fmt: skip


def test_flags_stand_anywhere() -> None:
    settings = parse_flags(["--key=UID, key", "gs://b/a", "--output=none", "x", "--tolerance=1e-6"])
    assert (settings.a, settings.b, settings.output) == ("gs://b/a", "x", None)
    assert (settings.key, settings.tolerance) == (("uid", "key"), 1e-6)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "compares two directories, and 0 are given (none); write A B"),
        (["a"], "1 are given (a)"),
        (["a", "b", "c"], "3 are given (a, b, c)"),
        (["a", ""], "write A B"),
        (["a", "b", "--row=3"], "--row=3: no such flag; did you mean --rows?"),
        (["a", "b", "--zzz=3"], "--zzz=3: no such flag; see --help"),
        (["a", "b", "--rows"], "--rows=: has no value"),
        (["a", "b", "--rows=1", "--rows=2"], "--rows=2: is given twice"),
        (["a", "b", "--rows=101"], "--rows=101: is out of range"),
        (["a", "b", "--tolerance=-1"], "--tolerance=-1: is out of range"),
        (["a", "b", "--tolerance=nan"], "--tolerance=nan: is out of range"),
        (["a", "b", "--exit_code=yes"], "--exit_code=yes: is neither true nor false"),
        (["a", "b", "--key=uid,"], "--key=uid,: has an empty part"),
    ],
)
def test_refusals(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_flags(words)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_help_names_every_flag_and_the_exit_status() -> None:
    text = " ".join(format_help("compare").split())
    assert text.startswith("usage: compare A B [--flag=value ...]")
    for flag in COMPARE_FLAGS:
        assert f"--{flag.name} VALUE" in text and f"Default: {flag.default}" in text
    assert "Exit status: 0: compared, whether or not there are differences" in text
