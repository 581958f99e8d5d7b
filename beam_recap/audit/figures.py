"""From sums to figures: shares, rates and their intervals, as JSON values."""

from __future__ import annotations

from typing import Any

from beam_recap.audit.intervals import Interval, bootstrap, wilson
from beam_recap.audit.tally import HISTOGRAM_BINS, PLACES, RATE_UNIT, RATES, Tally


def build_figures(tally: Tally, *, resamples: int, seed: int, buckets: int) -> dict[str, Any]:
    """Everything that is said of a group of rows.

    Args:
      tally: the rows.
      resamples: of the bootstrap.
      seed: of the bootstrap.
      buckets: that the tally's rows were spread over.

    Returns:
      ``images``: counts. ``with_text``: the share of judged images. ``captions``: counts. ``rates``: for each rate the
      mean over all captions (0 where the picture has no text), over those of pictures with text, the same of all words
      together (``words``: common words / words), and the share of captions with a rate above 0 (``parrot``). A value is
      {"value", "low", "high", "count", "of"}; with nothing to divide by it is None.
    """
    sums = tally.sums()
    drawn = _intervals(tally, resamples=resamples, seed=seed, buckets=buckets)
    judged, with_text = sums["judged"], sums["with_text"]
    return {
        "images": {
            "read": tally.rows,
            "judged": judged,
            "not_judged": tally.rows - judged,
            "not_judged_by_reason": dict(sorted(tally.problems.items(), key=lambda item: (-item[1], item[0]))),
            "with_text": with_text,
            "with_text_that_cannot_be_read": sums["unreadable"],
            "with_text_not_read_to_its_end": sums["incomplete"],
        },
        "with_text": _share(with_text, judged),
        "captions": {
            "missing": sums["without_caption"],
            "without_words": sums["without_words"],
            "with_words": sums["plain_captions"],
            "with_words_and_text_in_the_image": sums["plain_text_captions"],
        },
        "rates": {rate: _rate(rate, sums, drawn) for rate in RATES},
        "normalised_rate_histogram": [sums[f"bin_{number}"] for number in range(HISTOGRAM_BINS)],
    }


def _kind(rate: str) -> str:
    return "strict" if rate == "strict" else "plain"


def _ratios(rate: str) -> dict[str, tuple[str, str]]:
    kind = _kind(rate)
    return {
        "mean": (f"{rate}_sum", f"{kind}_captions"),
        "mean_in_text_images": (f"{rate}_sum", f"{kind}_text_captions"),
        "words": (f"{rate}_common", f"{kind}_words"),
        "words_in_text_images": (f"{rate}_common", f"{kind}_text_words"),
    }


def _intervals(tally: Tally, *, resamples: int, seed: int, buckets: int) -> dict[tuple[str, str], Interval | None]:
    names = [(rate, name) for rate in RATES for name in _ratios(rate)]
    places = [tuple(PLACES[column] for column in _ratios(rate)[name]) for rate, name in names]
    found = bootstrap(tally.table(), places, resamples=resamples, seed=seed, buckets=buckets)  # type: ignore[arg-type]
    return dict(zip(names, found, strict=True))


def _rate(rate: str, sums: dict[str, int], drawn: dict[tuple[str, str], Interval | None]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, (above, below) in _ratios(rate).items():
        unit = RATE_UNIT if above.endswith("_sum") else 1
        interval = drawn[rate, name]
        scaled = None if interval is None else (interval[0] / unit, interval[1] / unit)
        # No text in any picture: a rate of 0 for all, and nothing known of pictures with text.
        figures[name] = _value(sums[above] / unit, sums[below], scaled)
    kind, parrots = _kind(rate), sums[f"{rate}_parrots"]
    figures["parrot"] = _share(parrots, sums[f"{kind}_captions"])
    figures["parrot_in_text_images"] = _share(parrots, sums[f"{kind}_text_captions"])
    return figures


def _share(count: int, of: int) -> dict[str, Any] | None:
    return _value(count, of, wilson(count, of))


def _value(above: float, below: int, interval: Interval | None) -> dict[str, Any] | None:
    if below == 0:
        return None
    low, high = interval or (None, None)
    count = above if isinstance(above, int) else round(above, 6)
    return {"value": above / below, "low": low, "high": high, "count": count, "of": below}
