"""Ends an audit: ``audit.html`` for people, ``audit.json`` for programs, a dozen lines for the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from beam_recap import __version__, files
from beam_recap.audit import published
from beam_recap.audit.config import BUCKETS, CLUSTER_BUCKETS
from beam_recap.audit.draw_words import FONT_SIZE, SIDE
from beam_recap.audit.examples import Example
from beam_recap.audit.facts import AuditFacts
from beam_recap.audit.figures import build_figures
from beam_recap.audit.intervals import CONFIDENCE
from beam_recap.audit.page import audit_page
from beam_recap.audit.synthetic import WordScores
from beam_recap.audit.tally import Tally

JSON_NAME, PAGE_NAME = "audit.json", "audit.html"
_CLUSTER_RESAMPLES = 500  # at most; of each of up to ten thousand clusters


def build_audit(
    facts: AuditFacts,
    total: Tally,
    clusters: Sequence[tuple[int, Tally]],
    cluster_count: int,
    examples: Sequence[Example],
    words: WordScores | None,
    finished_at: float,
) -> dict[str, Any]:
    """The audit as JSON values, keys in a fixed order.

    Args:
      facts: what was known when it started.
      total: all rows.
      clusters: (label, its rows) of the largest ones.
      cluster_count: how many clusters there are.
      examples: the rows that repeat most text.
      words: of the synthetic-text score; None where none was asked for.
      finished_at: unix time, s.
    """
    resamples, seed = facts.flags["resamples"], facts.flags["seed"]
    figures = build_figures(total, resamples=resamples, seed=seed, buckets=BUCKETS)
    return {
        "beam_recap_version": __version__,
        "command": facts.command,
        "flags": facts.flags,
        "input": facts.input,
        "models": facts.models,
        "versions": facts.versions,
        "method": {
            "definition": "co-embedded text rate of arXiv 2312.14232, algorithm 1: the share of a caption's distinct "
            "words that are also written in the picture; 0 where nothing is written, undefined without a word",
            "strict": "words as spaces separate them",
            "normalised": "words without case, punctuation and compatibility forms; all 21 examples of the paper's "
            "table 16 are parrots by it, and 20 by the strict rate",
            "fuzzy": "normalised; words with a Levenshtein similarity of at least fuzzy_threshold count as equal",
            "fuzzy_threshold": facts.flags["fuzzy_threshold"],
            "parrot": "a caption with a rate above 0",
            "confidence": CONFIDENCE,
            "intervals": f"shares: Wilson; means: bootstrap over {BUCKETS} random groups of rows "
            f"({CLUSTER_BUCKETS} in a cluster), {resamples} draws, seed {seed}",
        },
        **figures,
        "clusters": {
            "count": cluster_count,
            "largest": [
                {
                    "kmeans": label,
                    **build_figures(
                        tally, resamples=min(resamples, _CLUSTER_RESAMPLES), seed=seed, buckets=CLUSTER_BUCKETS
                    ),
                }
                for label, tally in clusters
            ],
        },
        "synthetic_text_score": None if words is None else _synthetic(facts, words),
        "published": {
            "source": published.SOURCE,
            "note": published.THIS_OCR_DIFFERS,
            "datasets": list(published.DATASETS),
            "synthetic_text_score": list(published.MODELS),
        },
        "notes": notes(facts, figures),
        "examples": [
            {
                "id": example.rank[-1],
                "caption": example.caption,
                "ocr_text": example.ocr_text,
                "strict": example.strict,
                "normalised": example.normalised,
                "fuzzy": example.fuzzy,
            }
            for example in examples
        ],
        "timings": {
            "started_at": _utc(facts.started_at),
            "finished_at": _utc(finished_at),
            "elapsed_s": round(max(finished_at - facts.started_at, 0.0), 3),
        },
    }


def _synthetic(facts: AuditFacts, words: WordScores) -> dict[str, Any]:
    return {
        "clip_model": facts.models["clip_model"],
        "font": facts.font,
        "font_size": FONT_SIZE,
        "picture_size": SIDE,
        "words_from": "most frequent in the captions" if facts.words_file is None else facts.words_file,
        **words.figures(),
    }


def notes(facts: AuditFacts, figures: dict[str, Any]) -> list[str]:
    """What a reader must know to read the figures rightly."""
    found = []
    images = figures["images"]
    if images["with_text_not_read_to_its_end"]:
        found.append(
            f"Rates are lower bounds: in {images['with_text_not_read_to_its_end']:,} images text was not read to its "
            "end. For a run that reads all, give it --max_ocr_boxes=none."
        )
    if images["read"] and images["not_judged"] * 10 > images["read"]:
        found.append(
            f"{100 * images['not_judged'] / images['read']:.0f} % of the rows could not be judged, and are in no share."
        )
    if facts.is_demo_clip:
        found.append(
            "The demonstration's CLIP was tested. It knows only drawings of coloured shapes: its synthetic-text score "
            "means nothing."
        )
    if facts.font is not None:
        found.append(f"Words are drawn in {facts.font}; the paper's are in Arial, so its scores may differ a little.")
    return found


def write_audit(
    facts: AuditFacts,
    total: Tally,
    clusters: Sequence[tuple[int, Tally]],
    cluster_count: int,
    examples: Sequence[Example],
    words: WordScores | None,
) -> dict[str, Any]:
    """Writes the page and, last, the JSON file: where that is, the audit is complete. Returns what `build_audit` gives.

    Takes what that takes.
    """
    audit = build_audit(facts, total, clusters, cluster_count, examples, words, time.time())
    page = audit_page(facts, audit, examples)
    for name, text in ((PAGE_NAME, page), (JSON_NAME, json.dumps(audit, indent=1) + "\n")):
        # A flag's value may hold bytes of the shell that are no text; they must not lose the audit.
        files.write_bytes(files.join(facts.output, name), text.encode("utf-8", errors="replace"))
    return audit


def summary_lines(audit: dict[str, Any], directory: str) -> list[str]:
    """The audit in about a dozen lines."""
    images, captions, rates = audit["images"], audit["captions"], audit["rates"]
    lines = [
        f"{', '.join(audit['input']['patterns'])}: {audit['input']['kind']}, {audit['input']['files']:,} files",
        f"images        {images['read']:,} read, {images['judged']:,} judged, {images['not_judged']:,} not"
        + _reasons(images["not_judged_by_reason"]),
        f"with text     {_percent(audit['with_text'])}{_published('with_text')}",
        f"captions      {captions['with_words']:,} with words; {captions['missing']:,} missing and "
        f"{captions['without_words']:,} without words are in no rate",
    ]
    for rate, name in (("strict", None), ("normalised", "mean"), ("fuzzy", "fuzzy_mean")):
        mean, in_text = rates[rate]["mean"], rates[rate]["mean_in_text_images"]
        lines.append(f"{rate:13} mean rate {_percent(mean)} of all{_published(name)}")
        lines.append(f"{'':13} {_percent(in_text)} in images with text{_published(name and f'{name}_in_text_images')}")
    normalised, laion = rates["normalised"], published.DATASETS[0]
    lines.append(
        f"parrots       {_percent(normalised['parrot'])} of captions, {_percent(normalised['parrot_in_text_images'])} "
        f"in images with text (published: {laion['name']} {100 * laion['parrot_in_text_images']:.2f} %)"
    )
    if audit["clusters"]["count"]:
        lines.append(f"clusters      {audit['clusters']['count']:,}; see the page")
    if (score := audit["synthetic_text_score"]) is not None:
        lines.append(_score_line(score))
    lines += [f"note          {note}" for note in audit["notes"]]
    lines.append(f"See {files.join(directory, PAGE_NAME)} and {JSON_NAME}.")
    return lines


def _score_line(score: dict[str, Any]) -> str:
    everything, drawn = score["all"], score["words"]["drawn"]
    if everything["mean"] is None:
        return f"synthetic     no score of {score['clip_model']}: no word could be drawn and scored"
    first = published.MODELS[0]
    return (
        f"synthetic     {everything['mean']:.3f} ± {everything['std']:.3f} for {score['clip_model']}, {drawn:,} words "
        f"in {score['font']} (published: {first['name']} {first['mean']:.3f} ± {first['std']:.3f})"
    )


def _reasons(problems: dict[str, int]) -> str:
    shown = [f"{reason} {count:,}" for reason, count in list(problems.items())[:5]]
    more = [f"{len(problems) - 5} other reasons"] if len(problems) > 5 else []
    return f" ({', '.join([*shown, *more])})" if shown else ""


def _percent(value: dict[str, Any] | None) -> str:
    if value is None:
        return "undefined"
    text = f"{100 * value['value']:.2f} %"
    return text if value["low"] is None else f"{text} [{100 * value['low']:.2f}, {100 * value['high']:.2f}]"


def _published(name: str | None) -> str:
    if name is None:
        return ""
    others = ", ".join(f"{row['name']} {100 * row[name]:.2f} %" for row in published.DATASETS)
    return f" (published: {others})"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
