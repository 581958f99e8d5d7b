"""``audit.html``: one self-contained page for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from beam_recap.audit import published
from beam_recap.audit.examples import Example
from beam_recap.audit.facts import AuditFacts
from beam_recap.audit.tally import RATES
from beam_recap.flag_values import as_text
from beam_recap.report.template import clipped, data_uri, render_page

_CLUSTERS_SHOWN = 24
_CAPTION_CHARS = 500
_EXAMPLES_AT_FIRST = 24  # the others unfold


def audit_page(facts: AuditFacts, audit: dict[str, Any], examples: Iterable[Example]) -> str:
    """The page's text.

    Args:
      facts: what was known when the audit started.
      audit: from `build_audit`.
      examples: the rows to show, with their pictures.
    """
    cards = [_card(example) for example in examples]
    return render_page(
        "beam_recap.audit",
        "page.html",
        name=", ".join(pattern.rstrip("/").rsplit("/", 1)[-1] or pattern for pattern in audit["input"]["patterns"]),
        audit=audit,
        facts=facts,
        tiles=_tiles(audit),
        charts=_comparisons(audit),
        rates=[_rate_row(name, audit["rates"][name]) for name in RATES],
        histogram=_histogram(audit["normalised_rate_histogram"]),
        clusters=_clusters(audit["clusters"]),
        score=_score(audit["synthetic_text_score"]),
        cards=cards,
        cards_at_first=_EXAMPLES_AT_FIRST,
        config=[(name, as_text(value)) for name, value in facts.flags.items()],
    )


def _tiles(audit: dict[str, Any]) -> list[dict[str, str]]:
    images, normalised = audit["images"], audit["rates"]["normalised"]
    left_out = f"of {images['read']:,} read" if images["not_judged"] else "all that were read"
    return [
        {"label": "images judged", "value": f"{images['judged']:,}", "note": left_out},
        {"label": "with visible text", **_headline(audit["with_text"])},
        {"label": "text rate, all captions", **_headline(normalised["mean"])},
        {"label": "parrot captions", **_headline(normalised["parrot"])},
    ]


def _headline(value: dict[str, Any] | None) -> dict[str, str]:
    if value is None:
        return {"value": "–", "note": "undefined"}
    return {"value": f"{100 * value['value']:.1f} %", "note": _interval(value)}


def _interval(value: dict[str, Any]) -> str:
    return "" if value["low"] is None else f"{100 * value['low']:.1f} to {100 * value['high']:.1f} %"


def _comparisons(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """This input beside the published datasets, one chart per figure."""
    rates = audit["rates"]
    return [
        _chart("Images with visible text", audit["with_text"], "with_text"),
        _chart("Text rate, mean of all captions", rates["normalised"]["mean"], "mean"),
        _chart("Text rate in images with text", rates["normalised"]["mean_in_text_images"], "mean_in_text_images"),
        _chart("Fuzzy rate, mean of all captions", rates["fuzzy"]["mean"], "fuzzy_mean"),
    ]


def _chart(title: str, value: dict[str, Any] | None, name: str) -> dict[str, Any]:
    bars = [_bar("this input", value, "ours")]
    bars += [_bar(f"{row['name']} (published)", {"value": row[name]}, "theirs") for row in published.DATASETS]
    return {"title": title, "bars": bars}


def _bar(label: str, value: dict[str, Any] | None, kind: str) -> dict[str, Any]:
    """A bar of a share: lengths in percent of the whole width."""
    if value is None:
        return {
            "label": label,
            "kind": kind,
            "length": 0,
            "low": None,
            "high": None,
            "text": "undefined",
            "interval": "",
        }
    low, high = value.get("low"), value.get("high")
    interval = "" if low is None else f"{100 * low:.1f} to {100 * high:.1f}"
    return {
        "label": label,
        "kind": kind,
        "length": _length(value["value"]),
        "low": None if low is None else _length(low),
        "high": None if high is None else _length(high),
        "text": f"{100 * value['value']:.2f} %",
        "interval": interval,
    }


def _length(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 3)


def _rate_row(name: str, rate: dict[str, Any]) -> dict[str, Any]:
    columns = ("mean", "mean_in_text_images", "words", "words_in_text_images", "parrot", "parrot_in_text_images")
    return {"name": name, "cells": [_headline(rate[column]) for column in columns]}


def _histogram(counts: Sequence[int]) -> dict[str, Any] | None:
    total = sum(counts)
    if not total:
        return None
    highest = max(counts)
    return {
        "total": total,
        "bins": [
            {"count": count, "height": round(100 * count / highest, 2), "percent": f"{100 * count / total:.1f} %"}
            for count in counts
        ],
    }


def _clusters(clusters: dict[str, Any]) -> dict[str, Any] | None:
    if not clusters["count"]:
        return None
    shown = [
        {
            "label": str(cluster["kmeans"]),
            "rows": cluster["images"]["read"],
            "with_text": _bar("", cluster["with_text"], "ours"),
            "rate": _bar("", cluster["rates"]["normalised"]["mean"], "rate"),
        }
        for cluster in clusters["largest"][:_CLUSTERS_SHOWN]
    ]
    return {"count": clusters["count"], "shown": shown}


def _score(score: dict[str, Any] | None) -> dict[str, Any] | None:
    """Bars of cosines with a standard deviation to both sides; 0 at the left end."""
    if score is None:
        return None
    bars = [_cosine_bar(f"{score['clip_model']}, all styles", score["all"], "ours")]
    bars += [_cosine_bar(style, figures, "ours") for style, figures in score["by_style"].items()]
    bars += [_cosine_bar(f"{row['name']} (published)", row, "theirs") for row in published.MODELS]
    return {**score, "bars": bars}


def _cosine_bar(label: str, figures: dict[str, Any], kind: str) -> dict[str, Any]:
    mean, std = figures["mean"], figures["std"]
    if mean is None:
        return {"label": label, "kind": kind, "length": 0, "low": None, "high": None, "text": "none", "interval": ""}
    return {
        "label": label,
        "kind": kind,
        "length": _length(mean),
        "low": None if std is None else _length(mean - std),
        "high": None if std is None else _length(mean + std),
        "text": f"{mean:.3f}" if std is None else f"{mean:.3f} ± {std:.3f}",
        "interval": "",
    }


def _card(example: Example) -> dict[str, Any]:
    scores = [("normalised", example.normalised), ("fuzzy", example.fuzzy)]
    if example.strict is not None:
        scores.insert(0, ("strict", example.strict))
    return {
        "picture": data_uri(example.thumbnail),
        "caption": clipped(example.caption, _CAPTION_CHARS),
        "ocr_text": clipped(example.ocr_text, _CAPTION_CHARS),
        "scores": [(label, f"{100 * value:.0f} %") for label, value in scores],
    }
