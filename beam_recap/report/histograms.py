"""Histograms of ``summary.json``'s distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from beam_recap.report.charts import MOST_BARS, counted, draw

_HEIGHT = 150  # px
_FEWEST_BINS = 8  # on the axis: a single bar does not fill the chart
_STEPS = (1, 2, 5, 10)  # bins that one bar may stand for
_SHORT_FROM = 10_000  # from here on the axis says 10k


@dataclass(frozen=True, slots=True)
class Series:
    """One side of a distribution.

    Attributes:
      name: what one of its rows is, as ``kept row``.
      edges: of the bins, one more than there are bins.
      counts: rows per bin.
      color: a CSS colour.
    """

    name: str
    edges: Sequence[float]
    counts: Sequence[int]
    color: str


@dataclass(frozen=True, slots=True)
class Axis:
    """What values are called.

    Attributes:
      title: as ``cosine``.
      whole: whether they are whole numbers.
      decimals: of the bins' edges.
    """

    title: str
    whole: bool
    decimals: int = 0


def reach(series: Sequence[Series], threshold: float | None = None) -> tuple[int, int] | None:
    """The first bin that an axis needs to show and the one behind the last; None where no bin holds a row."""
    held = [place for one in series for place, rows in enumerate(one.counts) if rows]
    if not held:
        return None
    edges = series[0].edges
    if threshold is not None:
        held += [max(place for place, edge in enumerate(edges[:-1]) if edge <= max(threshold, edges[0]))]
    first, last = min(held), max(held) + 1
    short = max(_FEWEST_BINS - (last - first), 0)
    first = max(first - short // 2, 0)
    return first, min(max(last, first + _FEWEST_BINS), len(edges) - 1)


def histogram(
    series: Sequence[Series],
    axis: Axis,
    title: str,
    *,
    bins: tuple[int, int],
    threshold: tuple[float, str] | None = None,
    means: Mapping[str, float | None] | None = None,
    stacked: bool = True,
) -> Markup:
    """Vertical bars. Where many bins hold rows, one bar stands for several.

    Args:
      series: with the same edges; of stacked ones the first lies at the bottom, of others at the back.
      axis: what values are called.
      title: what the chart shows.
      bins: from `reach`.
      threshold: a value to mark, and what it is called.
      means: by names of series, to be marked.
      stacked: whether bars of one place lie upon each other, not before each other.
    """
    step = next(step for step in _STEPS if step == _STEPS[-1] or bins[1] - bins[0] <= step * MOST_BARS)
    first = bins[0] - bins[0] % step
    edges = series[0].edges
    # A whole number's bar stands around it, not at its right.
    shift = -0.5 if axis.whole else 0
    bars = []
    for order, one in enumerate(series):
        for start in range(first, bins[1], step):
            end = min(start + step, len(edges) - 1)
            if rows := sum(one.counts[start:end]):
                says = f"{axis.title} {_range(edges, start, end, axis)}: {counted(rows, one.name)}"
                place = {"from": edges[start] + shift, "to": edges[end] + shift}
                bars.append({**place, "rows": rows, "series": one.name, "order": order, "says": says})
    domain = [edges[first] + shift, edges[min(bins[1], len(edges) - 1)] + shift]
    highest = _highest(bars, stacked)
    layers = [_bars(bars, series, axis, domain, highest, stacked)]
    if threshold is not None:
        layers += _mark(threshold[0], threshold[1], "var(--ink)", [5, 3])
    for one in series:
        mean = (means or {}).get(one.name)
        if mean is not None:
            layers += _mark(mean + shift + 0.5 if axis.whole else mean, "", one.color, [2, 2])
    return draw({"height": _HEIGHT, "layer": layers}, title)


def _bars(
    bars: Sequence[dict[str, Any]],
    series: Sequence[Series],
    axis: Axis,
    domain: Sequence[float],
    highest: int,
    stacked: bool,
) -> dict[str, Any]:
    names = [one.name for one in series]
    ticks = {"format": f",.{axis.decimals}f", "tickCount": 6, "labelFlush": False, "labelOverlap": "greedy"}
    if axis.whole:
        ticks["tickMinStep"] = 1
    return {
        "data": {"values": bars},
        "mark": {"type": "bar", "binSpacing": 1, "opacity": 1 if stacked else 0.72},
        "encoding": {
            "x": {
                "field": "from",
                "type": "quantitative",
                "bin": "binned",
                "title": axis.title,
                "scale": {"domain": domain, "nice": False, "zero": False},
                "axis": {**ticks, "grid": False},
            },
            "x2": {"field": "to"},
            "y": {
                "field": "rows",
                "type": "quantitative",
                "stack": "zero" if stacked else None,
                "title": None,
                "axis": {
                    "tickCount": 4,
                    "tickMinStep": 1,
                    "format": "~s" if highest >= _SHORT_FROM else ",d",
                    "domain": False,
                },
            },
            "color": {
                "field": "series",
                "type": "nominal",
                "scale": {"domain": names, "range": [one.color for one in series]},
                "legend": None,
            },
            "order": {"field": "order", "type": "quantitative"},
            "description": {"field": "says", "type": "nominal"},
        },
    }


def _mark(value: float, label: str, color: str, dash: list[int]) -> list[dict[str, Any]]:
    """A line from top to bottom, and words at its upper end."""
    place = {"x": {"datum": value}}
    rule = {"mark": {"type": "rule", "color": color, "strokeDash": dash, "strokeWidth": 1.5, "aria": False}}
    once = {"data": {"values": [{}]}}
    layers = [{**once, **rule, "encoding": place}]
    if label:
        text = {"type": "text", "text": label, "fontSize": 11, "color": "var(--ink)", "dy": -6, "aria": False}
        layers.append({**once, "mark": text, "encoding": {**place, "y": {"value": 0}}})
    return layers


def _range(edges: Sequence[float], start: int, end: int, axis: Axis) -> str:
    """The values of bins ``start`` to ``end - 1`` in words; the outermost bins also hold what lies beyond."""
    low, high = (f"{edges[place]:.{axis.decimals}f}" for place in (start, end))
    if end == len(edges) - 1:
        return f"{low} or more"
    if axis.whole:
        last = int(edges[end]) - 1
        return low if last == edges[start] else f"{low} to {last}"
    return f"below {high}" if start == 0 else f"{low} to {high}"


def _highest(bars: Sequence[dict[str, Any]], stacked: bool) -> int:
    heights: dict[float, int] = {}
    for bar in bars:
        so_far = heights.get(bar["from"], 0)
        heights[bar["from"]] = so_far + bar["rows"] if stacked else max(so_far, bar["rows"])
    return max(heights.values(), default=0)
