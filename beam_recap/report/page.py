"""``report.html``: one self-contained page for people. No script, no request, everything from strangers escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from beam_recap.flag_values import as_text
from beam_recap.records import Outcome, Rejection, Sample
from beam_recap.report.facts import RunFacts
from beam_recap.report.template import clipped, data_uri, render_page
from beam_recap.report.wording import demo_note, model_rows, reason_words, stage_rule, stage_title, status_words

_MAX_CAPTION_CHARS = 1500
_MAX_URL_CHARS = 120
_NARROWEST_PERCENT = 0.3  # a bar that stands for any row at all can be seen
_KEPT_AT_FIRST = 24  # the others unfold
_HOSTS_AT_FIRST = 10


def report_page(facts: RunFacts, summary: dict[str, Any], examples: Iterable[Outcome]) -> str:
    """The page's text.

    Args:
      facts: what was known when the run started.
      summary: of the whole run, from `build_summary`.
      examples: rows to show; an empty thumbnail counts as none.
    """
    examples = list(examples)
    kept = [_kept_card(outcome) for outcome in examples if isinstance(outcome, Sample)]
    return render_page(
        "beam_recap.report",
        "page.html",
        name=facts.output.rstrip("/").rsplit("/", 1)[-1] or "dataset",
        facts=facts,
        counts=summary["counts"],
        timings=summary["timings"],
        tiles=_tiles(summary),
        note=demo_note(facts),
        funnel=_funnel(facts, summary["counts"]),
        downloads=_downloads(summary["fetch"]),
        models=model_rows(facts),
        versions=facts.versions,
        config=[(flag, as_text(value)) for flag, value in facts.config.items()],
        kept=kept[:_KEPT_AT_FIRST],
        kept_more=kept[_KEPT_AT_FIRST:],
        rejected=_rejected_groups(examples, summary["counts"]),
    )


def _tiles(summary: dict[str, Any]) -> list[dict[str, str]]:
    counts, timings = summary["counts"], summary["timings"]
    kept_percent = counts["kept_percent"]
    rate = timings["rows_per_s"]
    if rate is not None:
        speed = f"{rate:,.1f} rows/s"
    else:
        speed = f"attempt {timings['attempt']}" if timings["attempt"] > 1 else ""
    return [
        {"label": "rows read", "value": f"{counts['rows']:,}", "note": "", "kind": ""},
        {
            "label": "kept",
            "value": f"{counts['kept']:,}",
            "note": "" if kept_percent is None else f"{kept_percent:.1f} %",
            "kind": "good",
        },
        {
            "label": "rejected",
            "value": f"{counts['rejected']:,}",
            "note": "" if kept_percent is None else f"{100 - kept_percent:.1f} %",
            "kind": "bad",
        },
        {"label": "time taken", "value": _duration(timings["elapsed_s"]), "note": speed, "kind": ""},
    ]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


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


def _downloads(fetch: dict[str, Any]) -> dict[str, Any] | None:
    """What the page says of downloads; None where nothing was to be downloaded."""
    if not fetch["rows"]:
        return None
    answers = [(status, status_words(status), rows) for status, rows in fetch["by_http_status"].items()]
    if fetch["no_answer"]:
        answers.append(("–", "no answer", fetch["no_answer"]))
    hosts = fetch["hosts_by_failures"]
    return {
        **fetch,
        "answers": answers,
        "reasons": [(reason, reason_words(reason), rows) for reason, rows in fetch["by_reason"].items()],
        "hosts": hosts[:_HOSTS_AT_FIRST],
        "more_hosts": hosts[_HOSTS_AT_FIRST:],
    }


def _width(rows: int, of_rows: int) -> float:
    """Percent of the whole, as a bar's width."""
    return max(round(100 * rows / of_rows, 3), _NARROWEST_PERCENT) if rows else 0.0


def _kept_card(sample: Sample) -> dict[str, Any]:
    scores = []
    if sample.clip_score is not None:
        scores.append(("CLIP", f"{sample.clip_score:.3f}"))
    if sample.recaption_clip_score is not None:
        scores.append(("CLIP, new", f"{sample.recaption_clip_score:.3f}"))
    if sample.aesthetic_score is not None:
        scores.append(("aesthetic", f"{sample.aesthetic_score:.2f}"))
    return {
        "key": sample.key,
        "picture": data_uri(sample.thumbnail),
        "size": _size(sample),
        "caption": clipped(sample.caption, _MAX_CAPTION_CHARS),
        "recaption": clipped(sample.recaption, _MAX_CAPTION_CHARS),
        "truncated": bool(sample.recaption_truncated),
        "scores": scores,
    }


def _rejected_groups(examples: Iterable[Outcome], counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Rejected examples by stage, in the funnel's order, and by reason, the most frequent first."""
    groups: dict[tuple[str, str], dict[str, Any]] = {
        (stage["stage"], reason): {
            "title": stage_title(stage["stage"]),
            "reason": reason,
            "words": reason_words(reason),
            "rows": rows,
            "cards": [],
        }
        for stage in counts["by_stage"]
        for reason, rows in stage["reasons"].items()
    }
    for outcome in examples:
        if isinstance(outcome, Rejection):
            group = groups.get((str(outcome.stage), str(outcome.reason)))
            if group is not None:
                group["cards"].append(_rejected_card(outcome))
    return [group for group in groups.values() if group["cards"]]


def _rejected_card(rejection: Rejection) -> dict[str, Any]:
    card = _kept_card(rejection.sample)
    if rejection.sample.ocr_text:
        card["scores"].append(("text", clipped(rejection.sample.ocr_text, _MAX_URL_CHARS)))
    # A picture that came is shown; where none did, its address is what there is to look at.
    url = None if card["picture"] else clipped(rejection.sample.url, _MAX_URL_CHARS)
    return {**card, "detail": rejection.detail, "url": url}


def _size(sample: Sample) -> str | None:
    return None if sample.width is None or sample.height is None else f"{sample.width} × {sample.height}"
