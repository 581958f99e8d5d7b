from xml.etree import ElementTree

import pytest

from beam_recap.report.bars import Bar, bar_chart
from beam_recap.report.charts import counted
from beam_recap.report.histograms import Axis, Series, histogram, reach

COSINE = Axis("similarity", whole=False, decimals=2)
WORDS = Axis("words", whole=True)
EDGES = [round(-1 + 0.02 * place, 2) for place in range(101)]


def cosines(counts: dict[int, int], name: str = "kept row") -> Series:
    return Series(name, EDGES, [counts.get(place, 0) for place in range(100)], "var(--good)")


def labels(svg: str) -> list[str]:
    return [path.get("aria-label", "") for path in ElementTree.fromstring(svg).iter("path") if path.get("aria-label")]


def test_bars_say_their_numbers_and_empty_bins_have_none() -> None:
    series = [cosines({60: 7, 65: 1}), cosines({65: 3}, "rejected row")]
    svg = histogram(series, COSINE, "a <title>", bins=reach(series), threshold=(0.3, "0.3"))
    assert labels(svg) == [
        "similarity 0.20 to 0.22: 7 kept rows",
        "similarity 0.30 to 0.32: 1 kept row",
        "similarity 0.30 to 0.32: 3 rejected rows",
    ]
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "a <title>"
    assert root.get("width") is None
    assert root.get("viewBox", "").startswith("0 0 340 ")
    assert [title.text for title in root.iter("title")] == labels(svg)
    assert {"0.3"} <= {text.text for text in root.iter("text")}
    assert len([line for line in root.iter("line") if line.get("stroke-dasharray")]) == 1
    assert not [one for one in root.iter() if one.get("id") or "url(" in str(one.attrib)]


def test_stacked_bars_lie_upon_each_other_in_proportion() -> None:
    series = [cosines({60: 3}), cosines({60: 1}, "rejected row")]
    svg = histogram(series, COSINE, "x", bins=reach(series))
    paths = [path.get("d", "") for path in ElementTree.fromstring(svg).iter("path") if path.get("aria-label")]
    boxes = [path.removeprefix("M").replace("h", ",").replace("v", ",").split(",") for path in paths]
    (_, kept_top, _, kept_height, *_), (_, rejected_top, _, rejected_height, *_) = [
        [float(part.rstrip("Z")) for part in box if part.rstrip("Z")] for box in boxes
    ]
    assert kept_height == pytest.approx(3 * rejected_height)
    assert rejected_top + rejected_height == pytest.approx(kept_top)


def test_outermost_bins_hold_what_lies_beyond() -> None:
    series = [cosines({0: 1, 99: 2})]
    assert labels(histogram(series, COSINE, "x", bins=reach(series))) == [
        "similarity below -0.96: 1 kept row",
        "similarity 0.96 or more: 2 kept rows",
    ]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({3: 2}, ["words 3: 2 new captions"]),
        ({0: 1, 40: 2}, ["words 0: 1 new caption", "words 40: 2 new captions"]),
        ({0: 1, 61: 2, 60: 5}, ["words 0 to 1: 1 new caption", "words 60 to 61: 7 new captions"]),
        ({2: 1, 200: 2}, ["words 0 to 4: 1 new caption", "words 200 or more: 2 new captions"]),
        ({150: 1, 160: 2}, ["words 150: 1 new caption", "words 160: 2 new captions"]),
    ],
)
def test_whole_numbers_and_bars_of_several_bins(counts: dict[int, int], expected: list[str]) -> None:
    lengths = [counts.get(place, 0) for place in range(201)]
    series = [Series("new caption", list(range(202)), lengths, "red")]
    assert labels(histogram(series, WORDS, "x", bins=reach(series), stacked=False)) == expected


def test_the_axis_reaches_the_threshold_and_is_never_a_single_bin() -> None:
    assert reach([cosines({})]) is None
    assert reach([cosines({})], 0.3) is None
    assert reach([cosines({90: 1})], 0.3) == (65, 91)
    assert reach([cosines({50: 1})]) == (47, 55)
    assert reach([cosines({99: 1})]) == (96, 100)
    assert reach([cosines({0: 1})], -1.0) == (0, 8)
    assert reach([cosines({0: 1})], 5.0) == (0, 100)


HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "]]>",
    "&lt;",
    "\u202eabc",
    "\x00\x1b",
    "\ud800",
    "w" * 5000,
    "__proto__",
]


def test_names_are_only_text() -> None:
    bars = [Bar(name, {"": number + 1}, {"": f"{name}: {number + 1}"}) for number, name in enumerate(HOSTILE)]
    svg = bar_chart(bars, {"": "red"}, HOSTILE[0])
    root = ElementTree.fromstring(svg)
    assert {element.tag for element in root.iter()} == {"svg", "g", "path", "text", "title"}
    said = labels(svg)
    assert len(said) == len(HOSTILE)
    assert said[0] == f"{HOSTILE[0]}: 1"
    assert said[4:6] == ["\ufffd\ufffd: 5", "\ufffd: 6"]
    svg.encode()


def test_parts_of_a_bar_and_totals() -> None:
    says = {"fetched": "h: 30 fetched", "failed": "h: 1200 failed"}
    svg = bar_chart([Bar("h", {"fetched": 30, "failed": 1200}, says)], {"fetched": "green", "failed": "red"}, "Hosts")
    assert labels(svg) == list(says.values())
    assert [text.text for text in ElementTree.fromstring(svg).iter("text")] == ["h", "1,230"]


def test_counted() -> None:
    assert [counted(number, "row") for number in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
