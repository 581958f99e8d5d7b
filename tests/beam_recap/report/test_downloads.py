"""What the summary, the page and the card say of downloads."""

import json
from html.parser import HTMLParser
from pathlib import Path

from support.report_runs import UNITS, config_of, finish, sample

from beam_recap.download_counts import RankedHosts
from beam_recap.records import Outcome, Reason, Stage
from beam_recap.report.run_report import write_reports

HOSTS = RankedHosts.of(
    [
        ("(no host)", {"invalid_url": 1}),
        ("b.example", {"fetched": 2, "http_404": 1, "corrupt": 1}),
        ("dead.example", {"dns": 3}),
    ]
)


def _outcomes() -> list[Outcome]:
    endings = [
        *[("http://dead.example/", None, Reason.DNS)] * 3,
        ("http://b.example/", 404, Reason.HTTP_404),
        ("http://b.example/", 200, Reason.CORRUPT),
        *[("http://b.example/", 200, None)] * 2,
        ("nonsense", None, Reason.INVALID_URL),
    ]
    rows = [
        sample(UNITS[0], index, url=url, http_status=status, download_bytes=1000 + index if status == 200 else None)
        for index, (url, status, _) in enumerate(endings)
    ]
    return [
        row if reason is None else row.reject(Stage.FETCH, reason)
        for row, (_, _, reason) in zip(rows, endings, strict=True)
    ]


class _Text(HTMLParser):
    """All text, and the rows of tables."""

    def __init__(self, text: str):
        super().__init__()
        self.text = ""
        self.rows: list[str] = []
        self._in_row = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append("")
            self._in_row = True

    def handle_endtag(self, tag: str) -> None:
        self._in_row = self._in_row and tag != "tr"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_row:
            self.rows[-1] = " ".join(f"{self.rows[-1]} {data}".split())


def _page(output: Path, outcomes: list[Outcome], hosts: RankedHosts) -> _Text:
    facts, stats, tally = finish(config_of(output), outcomes)
    write_reports(facts, stats, tally, hosts)
    return _Text((output / "report.html").read_text())


def test_the_summary(tmp_path: Path) -> None:
    facts, stats, tally = finish(config_of(tmp_path), _outcomes())
    fetch = write_reports(facts, stats, tally, HOSTS)["fetch"]
    assert fetch == {
        "rows": 8,
        "fetched": 2,
        "failed": 6,
        "fetched_percent": 25.0,
        "bytes": 3015,
        "transient": 3,
        "by_http_status": {"200": 3, "404": 1},
        "no_answer": 4,
        "by_reason": {"dns": 3, "corrupt": 1, "http_404": 1, "invalid_url": 1},
        "hosts_by_failures": [
            {"host": "dead.example", "rows": 3, "failed": 3, "fetched": 0, "reasons": {"dns": 3}},
            {"host": "b.example", "rows": 4, "failed": 2, "fetched": 2, "reasons": {"corrupt": 1, "http_404": 1}},
            {"host": "(no host)", "rows": 1, "failed": 1, "fetched": 0, "reasons": {"invalid_url": 1}},
        ],
        "hosts_by_rows": [
            {"host": "b.example", "rows": 4, "fetched": 2, "failed": 2},
            {"host": "dead.example", "rows": 3, "fetched": 0, "failed": 3},
            {"host": "(no host)", "rows": 1, "fetched": 0, "failed": 1},
        ],
    }
    assert list(fetch["by_reason"]) == ["dns", "corrupt", "http_404", "invalid_url"]
    assert json.loads((tmp_path / "summary.json").read_text())["fetch"] == fetch


def test_downloads_of_all_shards_are_added_up(tmp_path: Path) -> None:
    outcomes = [*_outcomes(), sample(UNITS[2], 0, http_status=203)]
    facts, stats, tally = finish(config_of(tmp_path, rows_per_file="5"), outcomes)
    assert len(stats) == 2
    fetch = write_reports(facts, stats, tally)["fetch"]
    assert (fetch["rows"], fetch["fetched"], fetch["by_http_status"]) == (9, 3, {"200": 3, "203": 1, "404": 1})


def test_without_downloads(tmp_path: Path) -> None:
    page = _page(tmp_path, [sample(UNITS[0], 0)], RankedHosts())
    assert "Downloads" not in page.text
    fetch = json.loads((tmp_path / "summary.json").read_text())["fetch"]
    assert (fetch["rows"], fetch["fetched_percent"], fetch["no_answer"], fetch["hosts_by_failures"]) == (0, None, 0, [])
    assert "to be downloaded" not in (tmp_path / "README.md").read_text()


def test_the_page(tmp_path: Path) -> None:
    page = _page(tmp_path, _outcomes(), HOSTS)
    text = " ".join(page.text.split())
    assert "Of 8 rows to be downloaded, 2 (25.0 %) were fetched and 6 failed." in text
    assert "3 of these may pass at another try, with --retry=transient." in text
    for bar in (
        "200 OK: 3 rows",
        "404 Not Found: 1 row",
        "no answer: 4 rows",
        "b.example: 2 rows fetched",
        "b.example: 2 rows failed",
        "dead.example: 3 rows failed",
        "(no host): 1 row failed",
    ):
        assert text.count(bar) == 1
    assert "Pictures of 3.0 kB came." in text
    for row in (
        "host name not found dns 3",
        "not a URL that can be asked for invalid_url 1",
        "dead.example dns 3 3 3",
        "b.example corrupt 1 http_404 1 2 4",
        "(no host) invalid_url 1 1 1",
    ):
        assert row in page.rows


def test_all_fetched(tmp_path: Path) -> None:
    page = _page(tmp_path, [sample(UNITS[0], 0, http_status=200)], RankedHosts())
    assert "Of 1 rows to be downloaded, 1 (100.0 %)" in " ".join(page.text.split())
    assert "Hosts with" not in page.text
    assert "another try" not in page.text


def test_fifty_hosts_unfold(tmp_path: Path) -> None:
    hosts = [(f"h{number:02}.example", {"dns": 60 - number}) for number in range(50)]
    page = _page(tmp_path, _outcomes(), RankedHosts.of(hosts))
    assert "40 more" in page.text
    assert [row for row in page.rows if "dns" in row and ("h00.example" in row or "h49.example" in row)] == [
        "h00.example dns 60 60 60",
        "h49.example dns 11 11 11",
    ]


def test_a_hosts_name_is_only_text(tmp_path: Path) -> None:
    name = "</td><script>alert(1)</script>{{ 7 * 7 }}"
    page = _page(tmp_path, _outcomes(), RankedHosts(((name, {"dns": 1}),)))
    assert f"{name} dns 1 1 1" in page.rows
    assert "<script" not in (tmp_path / "report.html").read_text()


def test_the_card(tmp_path: Path) -> None:
    _page(tmp_path, _outcomes(), HOSTS)
    card = (tmp_path / "README.md").read_text()
    assert "Of 8 pictures to be downloaded, 2 (25.00 %) were fetched;" in card
    assert "dead.example" not in card
