"""``report.html``: one self-contained page for people. No script, no request, everything from strangers escaped."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from beam_recap.examples import ChosenExamples
from beam_recap.flag_values import as_text
from beam_recap.report.cards import FLAG_WORDS, kept_card, rejected_groups
from beam_recap.report.facts import RunFacts
from beam_recap.report.figures import AFTER_COLOR, BEFORE_COLOR, histograms, host_chart, status_chart, word_chart
from beam_recap.report.numbers import Numbers
from beam_recap.report.template import render_page
from beam_recap.report.wording import demo_note, model_rows, reason_words, stage_rule, stage_title, status_words

_WORTH_SAYING = 0.98  # of what the filters cost: times are hardly more exact than that
_NARROWEST_PERCENT = 0.3  # a bar that stands for any row at all can be seen
# The others unfold.
_AT_FIRST = {
    "words_at_first": 20,
    "hosts_at_first": 10,
    "kept_at_first": 24,
    "doubtful_at_first": 5,
    "rejected_at_first": 5,
}


def report_page(facts: RunFacts, summary: dict[str, Any], examples: ChosenExamples) -> str:
    """The page's text. Every number of the summary that stands in it says where it is from: see `Numbers`.

    Args:
      facts: what was known when the run started.
      summary: of the whole run, from `build_summary`.
      examples: rows to show; an empty thumbnail counts as none.
    """
    number = Numbers(summary)
    charts = histograms(summary["distributions"], facts.config)
    return render_page(
        "beam_recap.report",
        "page.html",
        name=facts.output.rstrip("/").rsplit("/", 1)[-1] or "dataset",
        facts=facts,
        summary=summary,
        number=number,
        tiles=_tiles(summary, number),
        note=demo_note(facts),
        funnel=_funnel(facts, summary["counts"]),
        charts=charts,
        measured=any(charts.values()),
        words={which: _words(summary["words"][which], which) for which in ("original", "new")},
        flags=_flags(summary),
        downloads=_downloads(summary["fetch"]),
        costs=_costs(summary),
        other_order=_other_order(summary["filters"]),
        models=model_rows(facts),
        versions=facts.versions,
        config=[(flag, as_text(value)) for flag, value in facts.config.items()],
        kept=[kept_card(sample) for sample in examples.kept],
        rejected=rejected_groups(examples.rejected, summary["counts"]),
        lowest_similarity=[kept_card(sample) for sample in examples.lowest_similarity],
        truncated=[kept_card(sample) for sample in examples.truncated],
        repeated_rows=[kept_card(sample) for sample in examples.repeated],
        **_AT_FIRST,
    )


def _tiles(summary: dict[str, Any], number: Numbers) -> list[dict[str, Any]]:
    counts, timings, fetch = summary["counts"], summary["timings"], summary["fetch"]
    kept = counts["kept_percent"]
    attempt = f"attempt {timings['attempt']}" if timings["attempt"] > 1 else ""
    tiles = [
        ("rows read", number("counts", "rows"), _slices(summary["slices"]), ""),
        ("kept", number("counts", "kept"), _percent(kept), "good"),
        ("rejected", number("counts", "rejected"), _percent(None if kept is None else 100 - kept), "bad"),
        ("time taken", number.duration("timings", "elapsed_s"), attempt, ""),
        ("rows per second", number("timings", "rows_per_s", decimals=1), "", ""),
    ]
    if fetch["rows"]:
        fetched = Markup("{} pictures").format(number("fetch", "fetched"))
        tiles.append(("downloaded", number.size("fetch", "bytes"), fetched, ""))
    return [dict(zip(("label", "value", "note", "kind"), tile, strict=True)) for tile in tiles]


def _percent(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.1f} %"


def _slices(slices: dict[str, Any] | None) -> str:
    return "" if slices is None else f"slices {', '.join(map(str, slices['done']))} of {slices['total']}"


def _funnel(facts: RunFacts, counts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **stage,
            "title": stage_title(stage["stage"]),
            "rule": stage_rule(stage["stage"], facts.config),
            "out_percent": _width(stage["rows_out"], counts["rows"]),
            "rejected_percent": _width(stage["rejected"], counts["rows"]),
        }
        for stage in counts["by_stage"]
    ]


def _width(rows: int, of_rows: int) -> float:
    """Percent of the whole, as a bar's width."""
    return max(round(100 * rows / of_rows, 3), _NARROWEST_PERCENT) if rows else 0.0


def _words(words: list[dict[str, Any]], which: str) -> dict[str, Markup | None]:
    """The chart of the most frequent words, and that of the next ones."""
    at_first = _AT_FIRST["words_at_first"]
    title, color = f"Most frequent words of {which} captions", BEFORE_COLOR if which == "original" else AFTER_COLOR
    first, more = words[:at_first], words[at_first:]
    return {"first": word_chart(first, title, color), "more": word_chart(more, f"{title}, continued", color)}


def _flags(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said of new captions, with the share of kept ones; nothing where there is no new caption."""
    captions = summary["distributions"]["recaption_words"]["kept"]["rows"]
    if not captions:
        return []
    return [
        {"name": name, "words": FLAG_WORDS[name], "percent": round(100 * rows / captions, 2)}
        for name, rows in summary["flags"].items()
    ]


def _downloads(fetch: dict[str, Any]) -> dict[str, Any] | None:
    """What the page says of downloads; None where nothing was to be downloaded."""
    if not fetch["rows"]:
        return None
    return {
        "statuses": status_chart(fetch),
        "hosts": host_chart(fetch["hosts_by_rows"]),
        "reasons": [(reason, reason_words(reason)) for reason in fetch["by_reason"]],
        "answers": [(status, status_words(status)) for status in fetch["by_http_status"]],
    }


def _costs(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Stages whose seconds were measured, with their places in the summary."""
    return [
        {"place": place, "title": stage_title(stage["stage"]), "percent": round(100 * stage["share_of_seconds"], 3)}
        for place, stage in enumerate(summary["counts"]["by_stage"])
        if stage["seconds"] is not None and stage["share_of_seconds"] is not None
    ]


def _other_order(filters: dict[str, Any]) -> str | None:
    """The order of filters that would have cost less; None where no other is worth saying."""
    cheapest = filters["cheapest_order"]
    if cheapest is None or filters["cheapest_ms_per_row"] > _WORTH_SAYING * filters["ms_per_row"]:
        return None
    return ",".join(cheapest)
