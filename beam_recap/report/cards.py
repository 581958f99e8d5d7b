"""What the report shows of single rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from beam_recap.download_counts import host_of
from beam_recap.records import Rejection, Sample
from beam_recap.report.template import clipped, data_uri
from beam_recap.report.wording import reason_words, stage_title

_MAX_CAPTION_CHARS = 1500
_MAX_URL_CHARS = 120
_MAX_LINK_CHARS = 2000
_LINK = re.compile(r"https?://[^\s\x00-\x20\x7f-\xa0\ud800-\udfff]+", re.IGNORECASE)
FLAG_WORDS = {
    "truncated": "cut at the longest length",
    "repetition": "repeats itself",
    "refusal": "refuses to describe",
    "prompt_echo": "repeats the prompt",
    "unseen_quotes": "quotes text that was not seen",
    "hinted": "saw the original caption",
}


def kept_card(sample: Sample) -> dict[str, Any]:
    """A row that was kept, for the template. Everything from strangers is cut to what a page can hold."""
    return {
        "key": clipped(sample.key, _MAX_URL_CHARS),
        "picture": data_uri(sample.thumbnail),
        "size": None if sample.width is None or sample.height is None else f"{sample.width} × {sample.height}",
        "caption": clipped(sample.caption, _MAX_CAPTION_CHARS),
        "recaption": clipped(sample.recaption, _MAX_CAPTION_CHARS),
        "scores": _scores(sample),
        "flags": _flags(sample),
        "license": clipped(sample.license, _MAX_URL_CHARS),
        **_source(sample.url),
    }


def rejected_card(rejection: Rejection) -> dict[str, Any]:
    """A row that was rejected, and the details of why."""
    card = kept_card(rejection.sample)
    if rejection.sample.ocr_text:
        card["scores"].append(("text", clipped(rejection.sample.ocr_text, _MAX_URL_CHARS)))
    return {**card, "detail": rejection.detail}


def rejected_groups(rejected: Sequence[Rejection], counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Rejected examples by stage, in the funnel's order, and by reason, the most frequent first."""
    groups: dict[tuple[str, str], dict[str, Any]] = {
        (stage["stage"], reason): {
            "title": stage_title(stage["stage"]),
            "reason": reason,
            "words": reason_words(reason),
            "path": ("counts", "by_stage", place, "reasons", reason),
            "cards": [],
        }
        for place, stage in enumerate(counts["by_stage"])
        for reason in stage["reasons"]
    }
    for rejection in rejected:
        group = groups.get((str(rejection.stage), str(rejection.reason)))
        if group is not None:
            group["cards"].append(rejected_card(rejection))
    return [group for group in groups.values() if group["cards"]]


def _scores(sample: Sample) -> list[tuple[str, str]]:
    before, after = sample.clip_score, sample.recaption_clip_score
    similarity = []
    if before is not None and after is not None:
        similarity = [("similarity", f"{before:.3f} → {after:.3f}")]
    elif before is not None:
        similarity = [("similarity", f"{before:.3f}")]
    elif after is not None:
        similarity = [("new caption's similarity", f"{after:.3f}")]
    found = (
        ("aesthetic", sample.aesthetic_score, ".2f"),
        ("text boxes", sample.ocr_boxes or None, "d"),
        ("caption rated", sample.caption_rating, "d"),
        ("new caption rated", sample.recaption_rating, "d"),
    )
    return similarity + [(label, format(value, form)) for label, value, form in found if value is not None]


def _flags(sample: Sample) -> list[tuple[str, str]]:
    """(flag, in words) of the new caption."""
    names = set(sample.recaption_flags or ())
    if sample.recaption_truncated:
        names.add("truncated")
    if sample.recaption_hinted:
        names.add("hinted")
    if sample.unseen_quotes:
        names.add("unseen_quotes")
    return [(name.replace("_", " "), words) for name, words in FLAG_WORDS.items() if name in names]


def _source(url: str | None) -> dict[str, str | None]:
    """Where the picture is from: a link only to what a browser asks of the web, anything else as text."""
    host = host_of(url) if url and len(url) <= _MAX_LINK_CHARS and _LINK.fullmatch(url) else None
    return {"link": url if host else None, "host": host, "address": None if host else clipped(url, _MAX_URL_CHARS)}
