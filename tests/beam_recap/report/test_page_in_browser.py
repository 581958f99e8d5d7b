"""The report in a real browser: it renders, asks for nothing, fits, can be read, and its numbers are those of
``summary.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.browser import running_browser
from support.recap_runs import run_command
from support.report_pages import Number, assert_bars_are_of, assert_numbers_are_of, busy_run, draw_page

LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA

# Of every element with words of its own that is to be seen: words, contrast of their colour to what lies behind them.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = color => {
    const [r, g, b] = color.slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const words = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(' ').trim();
    const drawn = element.namespaceURI.endsWith('svg');
    if (!words || (drawn && element.tagName !== 'text') || element.getAttribute('opacity') === '0') continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgba(drawn ? style.fill : style.color)), light(behind(element))];
    found.push([words, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""
NUMBERS = """() => [...document.querySelectorAll('[data-number]')]
  .map(e => [e.dataset.number, Number(e.dataset.factor || 1), e.textContent])"""
BARS = """() => [...document.querySelectorAll('figure[data-chart]')]
  .map(f => [f.dataset.chart, [...f.querySelectorAll('path[aria-label]')].map(p => p.getAttribute('aria-label'))])"""
LINKS = """() => [...document.querySelectorAll('a:not([href^="#"])')]
  .map(a => [a.href, a.rel, a.target, a.referrerPolicy])"""
# Charts whose letters are smaller on the screen than 9 px.
SMALL = """() => [...document.querySelectorAll('svg')].filter(
  s => s.getBoundingClientRect().width / s.viewBox.baseVal.width * 11 < 9).map(s => s.getAttribute('aria-label'))"""


@dataclass(frozen=True, slots=True)
class Report:
    path: Path
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def busy(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One with downloads, hosts, flags and repeated captions, which the demonstration has not."""
    page, summary = draw_page(busy_run())
    path = tmp_path_factory.mktemp("busy") / "report.html"
    path.write_text(page)
    return Report(path, summary)


def check(browser: Any, report: Report, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate("Promise.all([...document.images].map(one => one.decode()))")

    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.path.as_uri()]
    assert len(context.pages) == 1
    assert page.url == report.path.as_uri()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    widths = page.evaluate("[...document.images].map(one => one.naturalWidth)")
    assert len(widths) >= 20
    assert min(widths) > 0
    assert page.evaluate(SMALL) == []
    numbers = [Number(*number) for number in page.evaluate(NUMBERS)]
    assert len(numbers) >= 80
    assert_numbers_are_of(report.summary, numbers)
    assert_bars_are_of(report.summary, dict(page.evaluate(BARS)))
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [one for one in contrasts if one[1] < LEAST_CONTRAST] == []
    context.close()


# One test, so that several processes of tests never make the demonstration more than once.
def test_the_demonstrations_page(browser: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = run_command(f"--output={output}", "--max_rows=60")
    assert done.returncode == 0, done.stderr
    report = Report(output / "report.html", json.loads((output / "summary.json").read_text()))
    for width in (1200, 375):
        for scheme in ("light", "dark"):
            check(browser, report, width, scheme)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "dark"), (375, "light")])
def test_a_page_with_everything(browser: Any, busy: Report, width: int, scheme: str) -> None:
    check(browser, busy, width, scheme)


def test_links_lead_away_on_a_click_only(browser: Any, busy: Report) -> None:
    page = browser.new_page()
    page.goto(busy.path.as_uri())
    assert page.locator("link, base, iframe, form, script, object, embed, [ping], [http-equiv=refresh]").count() == 0
    links = page.evaluate(LINKS)
    assert len(links) >= 20
    for href, rel, target, policy in links:
        assert href.startswith(("http://", "https://"))
        assert set(rel.split()) == {"noopener", "noreferrer", "nofollow"}
        assert (target, policy) == ("_blank", "no-referrer")
    anchors = page.evaluate("[...document.querySelectorAll('nav a')].map(one => one.hash)")
    assert len(anchors) >= 8
    assert all(page.locator(anchor).count() == 1 for anchor in anchors)
    page.close()


def test_a_bar_tells_its_number_where_a_pointer_rests(browser: Any, busy: Report) -> None:
    page = browser.new_page()
    page.goto(busy.path.as_uri())
    bars = page.evaluate(
        "[...document.querySelectorAll('figure[data-chart] path[aria-label]')]"
        ".map(one => [one.getAttribute('aria-label'), one.querySelector('title').textContent])"
    )
    assert len(bars) > 100
    assert all(label == title for label, title in bars)
    page.close()
