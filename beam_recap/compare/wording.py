"""How the comparison's numbers and facts are said, on the terminal and on the page."""

from __future__ import annotations

from typing import Any

from beam_recap.flag_values import as_text
from beam_recap.report.wording import STAGE_TITLES

NOTHING = "–"
_ROLE_WORDS = {"caption": "original caption", "url": "URL"}


def number_text(value: Any, nothing: str = NOTHING) -> str:
    """A number with at most four decimals (six figures below 1), or what else it is; None as ``nothing``."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if value and (abs(value) >= 1e9 or abs(value) < 1e-4):
        return f"{value:.3g}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def difference_text(value: int | float | None) -> str:
    """A difference with its sign: +12, −0.25, and = for none."""
    if value is None:
        return NOTHING
    if value == 0:
        return "="
    return f"{'+' if value > 0 else '−'}{number_text(abs(value))}"


def percent_text(part: int, whole: int) -> str:
    """A share as percent; never 0 % or 100 % where it is not quite that."""
    if not whole:
        return NOTHING
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "< 0.1 %"
    if 99.95 <= share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %"


def stage_title(stage: str) -> str:
    """A stage's name for people."""
    return STAGE_TITLES.get(stage, stage)


def setting_lines(comparison: dict[str, Any]) -> list[dict[str, str]]:
    """What was set otherwise, and what it was made with: name, A and B."""
    lines = []
    for what, prefix in (("config", "--"), ("models", ""), ("versions", "")):
        for one in comparison[what]:
            name = f"{prefix}{one['name']}"
            lines.append({"what": what, "name": name, "a": as_text(one["a"]), "b": as_text(one["b"])})
    versions = [str(comparison[side]["beam_recap_version"]) for side in ("a", "b")]
    if versions[0] != versions[1]:
        lines.append({"what": "versions", "name": "beam-recap", "a": versions[0], "b": versions[1]})
    return lines


def matching_sentences(comparison: dict[str, Any]) -> list[str]:
    """How rows were matched, and what is doubtful about it."""
    matching = comparison["matching"]
    by = " and ".join(_ROLE_WORDS.get(name, name) for name in matching["by"])
    said = [f"Rows are matched by {by}."]
    missing = (matching["rows_without_url_a"], matching["rows_without_url_b"])
    if "url" in matching["by"] and any(missing):
        others = " and ".join(matching["without_url_by"]) or "the original caption alone"
        said.append(f"Those without a URL ({missing[0]:,} in A, {missing[1]:,} in B) are matched by {others}.")
    repeated = matching["repeated"]
    if repeated["identities"]:
        order = matching["order_of_equal_rows"]
        told = f"in the order of their {order}" if order else "in the files' order, kept ones before rejected ones"
        said.append(
            f"{repeated['identities']:,} {'identity is' if repeated['identities'] == 1 else 'identities are'} "
            f"there more than once ({repeated['rows_a']:,} rows in A, {repeated['rows_b']:,} in B); they are matched "
            f"{told}."
        )
    return said


def doubts(comparison: dict[str, Any]) -> list[str]:
    """Sentences that a reader must see first: what does not add up, and what is not certain."""
    repeated = comparison["matching"]["repeated"]
    said = [*comparison["accounting"]["problems"], *comparison["notes"]]
    if repeated["ambiguous_identities"]:
        said.append(
            f"Ambiguous: {repeated['ambiguous_rows_a']:,} rows of A and {repeated['ambiguous_rows_b']:,} of B have "
            "equal rows beside them, of which nothing tells which is which in the other run; they are matched in "
            "order. Name columns that tell them apart with --key."
        )
    rows = comparison["rows"]
    if (rows["only_in_a"] or rows["only_in_b"]) and not any(
        rows[name] for name in rows if not name.startswith("only_in")
    ):
        said.append("No row of A is in B: the runs have other inputs, or rows have another identity there; see --key.")
    return said
