"""Charts as SVG that stands in a page: Vega-Lite draws them, with no script and no request left in what it gives."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from beam_recap.report.template import printable

WIDTH = 340  # px; about what a phone has room for, so that letters keep their size there
MOST_BARS = 50  # side by side, each wide enough to be hit with a finger's tip
_FONT_PX = 11
# Vega-Lite's colours are the page's own, so that its dark mode holds for charts too.
_AXIS = {
    "labelColor": "var(--soft)",
    "labelFontSize": _FONT_PX,
    "titleColor": "var(--soft)",
    "titleFontSize": _FONT_PX,
    "titleFontWeight": "normal",
    "titlePadding": 8,
    "gridColor": "var(--line)",
    "domainColor": "var(--line)",
    "ticks": False,
    "labelPadding": 6,
}
_CONFIG = {"axis": _AXIS, "view": {"stroke": None}, "font": "sans-serif"}


def draw(chart: dict[str, Any], title: str) -> Markup:
    """A Vega-Lite chart as an SVG element, as wide as its surroundings.

    Bars that have a description get it as a title too, which shows where a pointer rests on them.

    Args:
      chart: a Vega-Lite specification with its data inside. Strings may be anyone's.
      title: what it shows, for those who do not see it.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(
        {
            "width": WIDTH,
            "autosize": {"type": "fit-x", "contains": "padding"},
            "padding": 1,
            "background": "transparent",
            "config": _CONFIG,
            **_printable(chart),
        },
        allowed_base_urls=[],
    )
    root = ElementTree.fromstring(drawn)  # noqa: S314 - what was just drawn, and Expat reads nothing else
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]  # in HTML, SVG needs no namespace
    for element in list(root.iter("path")):
        words = element.get("aria-label")
        if words is not None:
            ElementTree.SubElement(element, "title").text = words
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "group", "aria-label": printable(title)}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - text is escaped on the way


def counted(number: int, noun: str) -> str:
    """A number of things, as ``1 row`` and ``2 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _printable(value: Any) -> Any:
    """The same JSON with strings that any XML may hold."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _printable(one) for key, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list | tuple) else value
