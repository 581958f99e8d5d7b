"""The page and the lines: whole, self-contained, and safe from what strangers wrote."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.audits import judged, tally_of, write_run
from support.shards import jpeg

from beam_recap.audit.config import check_audit
from beam_recap.audit.examples import Example, example_of
from beam_recap.audit.facts import AuditFacts
from beam_recap.audit.options import parse_options
from beam_recap.audit.published import DATASETS
from beam_recap.audit.report import build_audit, summary_lines, write_audit
from beam_recap.audit.synthetic import WordScores
from beam_recap.audit.tally import Tally
from beam_recap.schemas import Provenance

HOSTILE = (
    "<script>alert(1)</script>\x00\x1b[31m \u202e&lt;img src=http://evil.example/x onerror=alert(1)> '\"` }}{{ 7*7 }}"
)


class Tags(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def facts(tmp_path: Path) -> AuditFacts:
    run = write_run(tmp_path / "run", [{"org_caption": "SALE", "ocr_has_text": True, "ocr_text": "SALE"}])
    config = parse_options([f"--input={run}", f"--output={tmp_path / 'out'}", "--clip_model=demo"]).config()
    names = Provenance(
        clip_model="demo", aesthetic_model=None, ocr_engine="rapidocr-3", captioner=None, config_digest="0" * 16
    )
    return AuditFacts.of(config, check_audit(config), names)


def scores() -> WordScores:
    found = WordScores()
    found.add_word()
    for style in ("black on white", "white on black", "white on gray", "black on gray"):
        found.add_score(style, 0.25)
    return found


def hostile_rows() -> tuple[Tally, list[Example]]:
    rows = [judged(0, HOSTILE, HOSTILE), judged(1, "SALE now", "SALE", cluster=5), judged(2, "a circle", None)]
    examples = [example for row in rows if (example := example_of(row)) is not None]
    thumbnails = [jpeg(16, 16), b"GIF89a<script>"]
    return tally_of(rows), [
        dataclasses.replace(example, thumbnail=data) for example, data in zip(examples, thumbnails, strict=True)
    ]


def written(facts: AuditFacts, *, clusters: int = 0) -> tuple[dict[str, Any], str]:
    total, examples = hostile_rows()
    groups = [(number, total) for number in range(clusters)]
    audit = write_audit(facts, total, groups, clusters, examples, scores())
    folder = Path(facts.output)
    assert sorted(path.name for path in folder.iterdir()) == ["audit.html", "audit.json"]
    assert json.loads((folder / "audit.json").read_text()) == audit
    return audit, (folder / "audit.html").read_text()


def test_strangers_text_is_text(facts: AuditFacts) -> None:
    _, page = written(facts)
    tags = Tags(page).tags
    names = {tag for tag, _ in tags}
    assert not names & {"script", "iframe", "object", "link", "a", "form", "base"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    addresses = [attributes["src"] or "" for tag, attributes in tags if tag == "img"]
    assert len(addresses) == 1  # what is no JPEG is not shown
    assert addresses[0].startswith("data:image/jpeg;base64,")
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page)
    assert "\ufffd" in page
    assert "default-src 'none'" in page


def test_charts_are_inline_svg_with_bars_of_the_shares(facts: AuditFacts) -> None:
    audit, page = written(facts, clusters=3)
    tags = Tags(page).tags
    lengths = [float(attributes["width"] or 0) for tag, attributes in tags if attributes.get("class") == "fill-ours"]
    assert lengths[0] == pytest.approx(100 * audit["with_text"]["value"], abs=0.01)
    theirs = [float(attributes["width"] or 0) for tag, attributes in tags if attributes.get("class") == "fill-theirs"]
    assert theirs[: len(DATASETS)] == [pytest.approx(100 * row["with_text"]) for row in DATASETS]
    assert "(published)" in page
    assert "The largest 3 of 3 clusters" in page
    assert all(
        "http" not in (value or "") for tag, attributes in tags if tag != "meta" for value in attributes.values()
    )


def test_the_json_file_holds_everything(facts: AuditFacts) -> None:
    audit, _ = written(facts, clusters=1)
    assert audit["clusters"]["count"] == 1
    assert audit["clusters"]["largest"][0]["kmeans"] == 0
    assert audit["clusters"]["largest"][0]["images"]["read"] == 3
    assert audit["synthetic_text_score"]["all"] == {
        "pictures": 4,
        "mean": pytest.approx(0.25),
        "std": pytest.approx(0, abs=1e-5),
    }
    assert audit["synthetic_text_score"]["font"] == "Aileron Regular"
    assert [row["with_text"] for row in audit["published"]["datasets"]] == [0.546, 0.502, 0.3706]
    assert [row["mean"] for row in audit["published"]["synthetic_text_score"]] == [0.317, 0.368, 0.268, 0.338, 0.163]
    assert re.fullmatch("[0-9a-f]{64}", audit["input"]["sha256_of_the_list"])
    assert audit["input"]["kind"] == "output of a run"
    assert audit["models"] == {"ocr_engine": "rapidocr-3/x", "clip_model": "demo"}
    assert {"python", "pillow", "numpy"} <= set(audit["versions"])
    assert audit["flags"]["fuzzy_threshold"] == audit["method"]["fuzzy_threshold"] == 0.8
    assert audit["command"].startswith("python -m pipelines.audit --input=")
    assert "means nothing" in " ".join(audit["notes"])


def test_the_command_gives_the_audit_again(facts: AuditFacts) -> None:
    words = shlex.split(facts.command)
    assert json.loads(json.dumps(dict(parse_options(words[3:]).config().flags))) == facts.flags


def test_a_dozen_lines(facts: AuditFacts) -> None:
    audit, _ = written(facts, clusters=2)
    lines = summary_lines(audit, facts.output)
    text = "\n".join(lines)
    assert 10 <= len(lines) <= 16
    assert "3 read, 3 judged, 0 not" in text
    assert "66.67 %" in text
    assert "LAION-2B-en 54.60 %" in text
    assert "0.250 ± 0.000" in text


def test_nothing_judged_is_said_and_not_a_crash(facts: AuditFacts) -> None:
    rows = [dataclasses.replace(judged(0, "x", None), finding=None, problem="fetch: dns")]
    audit = build_audit(facts, tally_of(rows), [], 0, [], WordScores(), 0.0)
    lines = "\n".join(summary_lines(audit, facts.output))
    assert "undefined" in lines
    assert "100 % of the rows could not be judged" in lines
    assert "no word could be drawn" in lines
    write_audit(facts, tally_of(rows), [], 0, [], None)
    assert "None does." in (Path(facts.output) / "audit.html").read_text()


def test_lower_bounds_are_said(facts: AuditFacts) -> None:
    audit = build_audit(facts, tally_of([judged(0, "a", "a", complete=False)]), [], 0, [], None, 0.0)
    assert "lower bounds" in audit["notes"][0]
