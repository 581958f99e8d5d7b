"""The report's charts, from the numbers of ``summary.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from beam_recap.report.bars import Bar, bar_chart
from beam_recap.report.charts import counted
from beam_recap.report.histograms import Axis, Series, histogram, reach
from beam_recap.report.wording import status_words

KEPT, REJECTED = "kept row", "rejected row"
_COLORS = {KEPT: "var(--good)", REJECTED: "var(--bad)"}
_ORIGINAL, _NEW = "original caption", "new caption"
BEFORE_COLOR, AFTER_COLOR = "var(--before)", "var(--accent)"
_COSINE = Axis("similarity", whole=False, decimals=2)
_AESTHETIC = Axis("aesthetic score", whole=False, decimals=2)
_WORDS = Axis("words", whole=True)
_BOXES = Axis("text boxes", whole=True)
_MOST_HOSTS = 12  # of one chart; a table below it names more

Distribution = dict[str, Any]


def histograms(distributions: dict[str, Distribution], config: dict[str, Any]) -> dict[str, Markup | None]:
    """Charts by name; None where no row has a value.

    Args:
      distributions: of the summary.
      config: flag -> JSON value; thresholds are marked in their charts.

    Returns:
      ``similarity``, ``recaption_similarity``, ``aesthetic`` and ``ocr_boxes`` are of kept and rejected rows, the two
      similarities on the same axis; ``caption_words`` is of kept rows, before and after.
    """
    before, after = _sides(distributions["similarity"]), _sides(distributions["recaption_similarity"])
    aesthetic, boxes = _sides(distributions["aesthetic"]), _sides(distributions["ocr_boxes"])
    lengths = [
        _side(distributions["caption_words"], "kept", _ORIGINAL, BEFORE_COLOR),
        _side(distributions["recaption_words"], "kept", _NEW, AFTER_COLOR),
    ]
    lowest, least, most = config["min_clip_score"], config["min_aesthetic_score"], config["max_ocr_boxes"]
    names = ("similarity", "recaption_similarity", "aesthetic", "caption_words", "ocr_boxes")
    charts: dict[str, Markup | None] = dict.fromkeys(names)
    if bins := reach([*before, *after], lowest):
        title = "Similarity of pictures and original captions"
        mark = None if lowest is None else (lowest, f"{lowest:g}")
        if reach(before):
            charts["similarity"] = histogram(before, _COSINE, title, bins=bins, threshold=mark)
        if reach(after):
            title = "Similarity of pictures and new captions"
            charts["recaption_similarity"] = histogram(after, _COSINE, title, bins=bins)
    if bins := reach(aesthetic, least):
        mark = None if least is None else (least, f"{least:g}")
        charts["aesthetic"] = histogram(aesthetic, _AESTHETIC, "Aesthetic scores", bins=bins, threshold=mark)
    if bins := reach(lengths):
        means = {
            _ORIGINAL: distributions["caption_words"]["kept"]["mean"],
            _NEW: distributions["recaption_words"]["kept"]["mean"],
        }
        title = "Lengths of captions before and after, in words"
        charts["caption_words"] = histogram(lengths, _WORDS, title, bins=bins, means=means, stacked=False)
    if bins := reach(boxes, most):
        mark = None if most is None else (most + 0.5, f"at most {most}" if most else "none")
        charts["ocr_boxes"] = histogram(boxes, _BOXES, "Boxes of visible text", bins=bins, threshold=mark)
    return charts


def word_chart(words: Sequence[dict[str, Any]], title: str, color: str) -> Markup | None:
    """A bar for each word; None where there is none."""
    bars = [
        Bar(one["word"], {"": one["captions"]}, {"": f"{one['word']}: {counted(one['captions'], 'caption')}"})
        for one in words
    ]
    return bar_chart(bars, {"": color}, title) if bars else None


def status_chart(fetch: dict[str, Any]) -> Markup | None:
    """A bar for each HTTP status, and one for no answer; None where nothing was to be downloaded."""
    bars = []
    for status, rows in fetch["by_http_status"].items():
        series = "fine" if status.startswith("2") else "other"
        label = f"{status} {status_words(status)}"
        bars.append(Bar(label, {series: rows}, {series: f"{label}: {counted(rows, 'row')}"}))
    if rows := fetch["no_answer"]:
        bars.append(Bar("no answer", {"none": rows}, {"none": f"no answer: {counted(rows, 'row')}"}))
    colors = {"fine": "var(--good)", "other": "var(--bad)", "none": "var(--soft)"}
    return bar_chart(bars, colors, "Rows by HTTP status") if bars else None


def host_chart(hosts: Sequence[dict[str, Any]]) -> Markup | None:
    """A bar for each of the first hosts, of rows fetched and failed; None where there is none."""
    bars = [
        Bar(
            host["host"],
            {"fetched": host["fetched"], "failed": host["failed"]},
            {series: f"{host['host']}: {counted(host[series], 'row')} {series}" for series in ("fetched", "failed")},
        )
        for host in hosts[:_MOST_HOSTS]
    ]
    colors = {"fetched": "var(--good)", "failed": "var(--bad)"}
    return bar_chart(bars, colors, "Hosts with the most rows") if bars else None


def _sides(distribution: Distribution) -> list[Series]:
    return [
        _side(distribution, "kept", KEPT, _COLORS[KEPT]),
        _side(distribution, "rejected", REJECTED, _COLORS[REJECTED]),
    ]


def _side(distribution: Distribution, side: str, name: str, color: str) -> Series:
    return Series(name, distribution["edges"], distribution[side]["counts"], color)
