"""Charts of named rows: one bar each, the largest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from beam_recap.report.charts import WIDTH, draw

_BAR_PX = 20  # from one bar to the next
_LABEL_PX = 132  # where bars begin
_LONGEST_LABEL_PX = 106  # a longer one ends in dots; all of it stands in the bar's title. Browsers' fonts are wider
_NUMBER_PX = 52  # room for a number behind the longest bar


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart.

    Attributes:
      label: its name; two lines of one chart have different ones.
      parts: numbers by the series that they belong to; they lie one behind the other.
      says: what each part is, by series, for a pointer that rests on it.
    """

    label: str
    parts: Mapping[str, int]
    says: Mapping[str, str]


def bar_chart(bars: Sequence[Bar], colors: Mapping[str, str], title: str) -> Markup:
    """Horizontal bars, each with its total behind it.

    Args:
      bars: from top to bottom; at least one.
      colors: of all series, in the order in which parts lie behind each other.
      title: what they show.
    """
    totals = [sum(bar.parts.values()) for bar in bars]
    place = {"field": "place", "type": "ordinal", "axis": None}
    scale = {"domain": [0, max(totals) or 1], "nice": False, "range": [_LABEL_PX, WIDTH - _NUMBER_PX]}
    parts = [
        {"place": number, "rows": bar.parts[series], "series": series, "order": order, "says": bar.says[series]}
        for number, bar in enumerate(bars)
        for order, series in enumerate(colors)
        if bar.parts.get(series)
    ]
    # The places carry the names: two names that look alike once they are made printable stay two lines.
    lines = [
        {"place": number, "label": bar.label, "rows": total, "total": f"{total:,}"}
        for number, (bar, total) in enumerate(zip(bars, totals, strict=True))
    ]
    length = {"field": "rows", "type": "quantitative", "axis": None, "scale": scale}
    words = {"type": "text", "baseline": "middle", "fontSize": 12, "aria": False}
    chart = {
        "autosize": "none",
        "padding": 0,
        "height": _BAR_PX * len(bars),
        "layer": [
            {
                "data": {"values": parts},
                "mark": {"type": "bar", "height": {"band": 0.68}},
                "encoding": {
                    "y": place,
                    "x": {**length, "stack": "zero"},
                    "color": {
                        "field": "series",
                        "type": "nominal",
                        "scale": {"domain": list(colors), "range": list(colors.values())},
                        "legend": None,
                    },
                    "order": {"field": "order", "type": "quantitative"},
                    "description": {"field": "says", "type": "nominal"},
                },
            },
            {
                "data": {"values": lines},
                "mark": {**words, "align": "right", "limit": _LONGEST_LABEL_PX, "color": "var(--ink)"},
                "encoding": {"y": place, "x": {"value": _LABEL_PX - 8}, "text": {"field": "label", "type": "nominal"}},
            },
            {
                "data": {"values": lines},
                "mark": {**words, "align": "left", "dx": 6, "color": "var(--soft)"},
                "encoding": {"y": place, "x": length, "text": {"field": "total", "type": "nominal"}},
            },
        ],
    }
    return draw(chart, title)
