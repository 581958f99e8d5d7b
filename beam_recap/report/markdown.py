"""Pieces of Markdown out of texts that may hold anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PUNCTUATION = re.compile(r"([\\`*_\[\]<>#|&~$])")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table of cells that are Markdown already; ``right`` are the columns that stand to the right."""
    rule = ["---:" if column in right else "---" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def escape(text: str) -> str:
    """A stranger's or a user's text on one line, with nothing left that Markdown or HTML would read."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """A text on one line, as code."""
    text = " ".join(text.split())
    fence = "`" * (_longest_run(text) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def fenced(text: str, language: str) -> str:
    """A text as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
