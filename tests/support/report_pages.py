"""Pages of runs that never ran, and what a page says in numbers, to compare it with ``summary.json``."""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from support.report_runs import UNITS, config_of, jpeg, provenance_of, sample

from beam_recap.assemble import ShardStats
from beam_recap.costs import total_seconds
from beam_recap.download_counts import DownloadCounter, RankedHosts
from beam_recap.records import Outcome, Reason, Rejection, Stage
from beam_recap.report.charts import counted
from beam_recap.report.facts import RunFacts
from beam_recap.report.page import report_page
from beam_recap.report.summary import build_summary
from beam_recap.tally.row_tally import RowTally

_BAR = re.compile(
    r"(?:similarity|aesthetic score|words|text boxes) "
    r"(?:below (?P<below>\S+)|(?P<open>\S+) or more|(?P<low>\S+) to (?P<high>\S+)|(?P<one>\S+))"
    r": (?P<rows>[\d,]+) (?P<side>.+?)s?"
)
_WHOLE = ("caption_words", "recaption_words", "ocr_boxes")


def draw_page(outcomes: Sequence[Outcome], *, elapsed_s: float = 12.5, **flags: str) -> tuple[str, dict[str, Any]]:
    """The page of these rows, and its summary; nothing is written."""
    config = config_of(Path("/nowhere/run"), **flags)
    facts = RunFacts.of(config, provenance_of(config), 1)
    tally, downloads = RowTally(), DownloadCounter()
    tally.add(outcomes)
    rejected: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        downloads.add(outcome)
        if isinstance(outcome, Rejection):
            rejected[str(outcome.stage), str(outcome.reason)] += 1
    kept = len(outcomes) - rejected.total()
    seconds = Counter(total_seconds(outcomes))
    stats = ShardStats(0, len(outcomes), kept, rejected, (), downloads.counts, seconds)
    hosts = RankedHosts.of(downloads.by_host.items())
    summary = build_summary(facts, [stats], tally, hosts, facts.started_at + elapsed_s)
    return report_page(facts, summary, tally.examples()), summary


def busy_run(rows: int = 400) -> list[Outcome]:
    """Rows with every kind of number: downloads that failed and came, scores, lengths, flags and repeated captions."""
    dice = random.Random(8)
    words = "a red old photo of many small houses near one lake with snow and people who walk".split()  # noqa: SIM905
    outcomes: list[Outcome] = []
    for index in range(rows):
        status, reason = dice.choice(
            [(200, None)] * 6 + [(404, Reason.HTTP_404), (None, Reason.DNS), (503, Reason.HTTP_5XX)]
        )
        caption = " ".join(dice.choices(words, k=dice.randint(1, 30)))
        row = sample(
            UNITS[0],
            index,
            url=f"https://h{dice.randint(1, 30)}.example/{index}.jpg",
            caption=caption,
            recaption=None,
            recaption_clip_score=None,
            aesthetic_score=None,
            clip_score=None,
            http_status=status,
            download_bytes=dice.randint(10_000, 900_000) if status == 200 else None,
            thumbnail=None if reason else jpeg((index % 255, 80, 160), (32, 24)),  # type: ignore[arg-type]
            seconds=(0.002, None, None, None, None),
        )
        outcomes.append(_end(row, reason, dice, words) if reason is None else row.reject(Stage.FETCH, reason, "failed"))
    return outcomes


def _end(row: Any, reason: Reason | None, dice: random.Random, words: Sequence[str]) -> Outcome:
    similarity = dice.gauss(0.31, 0.05)
    row = dataclasses.replace(row, clip_score=similarity, seconds=(0.002, 0.01, None, None, None))
    if similarity <= 0.3:
        return row.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE, f"{similarity:.4f} is not above 0.3")
    boxes = dice.choice([0, 0, 0, 1, 3])
    row = dataclasses.replace(
        row, aesthetic_score=dice.gauss(5.5, 0.8), ocr_boxes=boxes, seconds=(0.002, 0.01, 0.0001, 0.09, None)
    )
    if boxes:
        return row.reject(Stage.OCR, Reason.HAS_TEXT, "text")
    flags = dice.choice([(), (), ("repetition",), ("truncated", "repetition")])
    return dataclasses.replace(
        row,
        recaption="The image shows a lake."
        if dice.random() < 0.2
        else " ".join(dice.choices(words, k=dice.randint(20, 90))),
        recaption_clip_score=dice.gauss(0.33, 0.04),
        recaption_flags=flags,
        recaption_truncated="truncated" in flags,
        recaption_hinted=dice.random() < 0.3,
        seconds=(0.002, 0.01, 0.0001, 0.09, 0.4),
    )


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a page: where it stands in ``summary.json``, what it is multiplied by there, and its text."""

    path: str
    factor: float
    text: str


class Page(HTMLParser):
    """A page's tags with their attributes, its text, its numbers, the rows of its tables and its charts' bars."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.numbers: list[Number] = []
        self.rows: list[str] = []
        self.bars: dict[str, list[str]] = defaultdict(list)
        self._in_row = self._in_number = False
        self._chart: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._chart = attributes.get("data-chart", self._chart)
        if path := attributes.get("data-number"):
            self._in_number = True
            self.numbers.append(Number(path, float(attributes.get("data-factor") or 1), ""))
        if tag == "tr":
            self.rows.append("")
            self._in_row = True
        label = attributes.get("aria-label")
        if tag == "path" and label is not None and self._chart:
            self.bars[self._chart].append(label)

    def handle_endtag(self, tag: str) -> None:
        self._in_row = self._in_row and tag != "tr"
        self._in_number = self._in_number and tag != "span"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_row:
            self.rows[-1] = " ".join(f"{self.rows[-1]} {data}".split())
        if self._in_number:
            last = self.numbers.pop()
            self.numbers.append(Number(last.path, last.factor, last.text + data))

    @property
    def pictures(self) -> list[str]:
        return [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]

    @property
    def links(self) -> list[dict[str, str | None]]:
        """Those that lead away from the page."""
        return [one for tag, one in self.tags if tag == "a" and not (one.get("href") or "").startswith("#")]


def assert_numbers_are_of(summary: dict[str, Any], numbers: Iterable[Number]) -> None:
    """Every number is the one that stands at its path, as far as its decimals tell."""
    for number in numbers:
        found: Any = summary
        for step in number.path.split("."):
            found = found[int(step)] if isinstance(found, list) else found[step]
        if found is None:
            assert number.text == "–", number
            continue
        shown = number.text.replace(",", "")
        decimals = len(shown.partition(".")[2])
        assert abs(float(shown) - found * number.factor) <= 0.5 * 10**-decimals + 1e-9, (number, found)


def assert_bars_are_of(summary: dict[str, Any], charts: dict[str, list[str]]) -> None:
    """Every bar of every chart tells what ``summary.json`` does, and no row is left out."""
    distributions, fetch = summary["distributions"], summary["fetch"]
    assert set(charts) == _expected_charts(summary)
    for name in charts.keys() & distributions.keys() - {"caption_words"}:
        drawn = _rows_of_bars(
            charts[name], {f"{side} row": (name, side) for side in ("kept", "rejected")}, distributions
        )
        assert drawn == {(name, side): distributions[name][side]["rows"] for side in ("kept", "rejected")}
    if "caption_words" in charts:
        sides = {"original caption": ("caption_words", "kept"), "new caption": ("recaption_words", "kept")}
        drawn = _rows_of_bars(charts["caption_words"], sides, distributions)
        assert drawn == {(name, side): distributions[name][side]["rows"] for name, side in sides.values()}
    for which in ("original", "new"):
        words = [f"{one['word']}: {counted(one['captions'], 'caption')}" for one in summary["words"][which]]
        assert charts.get(f"words-{which}", []) == words
    if "statuses" in charts:
        rows = {label.split(" ")[0]: int(label.split(": ")[1].split(" ")[0]) for label in charts["statuses"]}
        no_answer = {"no": fetch["no_answer"]} if fetch["no_answer"] else {}
        assert rows == {**fetch["by_http_status"], **no_answer}
    if "hosts" in charts:
        ends = ("fetched", "failed")
        hosts = fetch["hosts_by_rows"][:12]
        assert Counter(charts["hosts"]) == Counter(
            f"{host['host']}: {counted(host[end], 'row')} {end}" for host in hosts for end in ends if host[end]
        )


def _expected_charts(summary: dict[str, Any]) -> set[str]:
    distributions = summary["distributions"]
    shown = {
        name
        for name in distributions
        if name != "recaption_words" and any(distributions[name][side]["rows"] for side in ("kept", "rejected"))
    }
    if not any(distributions[name]["kept"]["rows"] for name in ("caption_words", "recaption_words")):
        shown.discard("caption_words")
    words = {f"words-{which}" for which in ("original", "new") if summary["words"][which]}
    return shown | words | ({"statuses", "hosts"} if summary["fetch"]["rows"] else set())


def _rows_of_bars(
    labels: Iterable[str], sides: dict[str, tuple[str, str]], distributions: dict[str, Any]
) -> dict[tuple[str, str], int]:
    totals = dict.fromkeys(sides.values(), 0)
    for label in labels:
        bar = _BAR.fullmatch(label)
        assert bar is not None, label
        name, side = sides[bar["side"]]
        edges, counts = distributions[name]["edges"], distributions[name][side]["counts"]
        places = {f"{edge:.0f}" if name in _WHOLE else f"{edge:.2f}": place for place, edge in enumerate(edges)}
        start = 0 if bar["below"] else places[bar["open"] or bar["low"] or bar["one"]]
        if bar["open"]:
            end = len(counts)
        elif bar["one"]:
            end = start + 1
        else:
            end = places[bar["below"] or bar["high"]] + (name in _WHOLE)
        rows = int(bar["rows"].replace(",", ""))
        assert rows == sum(counts[start:end]) > 0, label
        totals[name, side] += rows
    return totals
