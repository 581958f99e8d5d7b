"""The whole job with a prefilter: a row that is out costs no request."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from support.recap_runs import assert_accounts, final_bytes, kept, rejected, run_here, summary
from support.shards import jpeg, write_parquet
from support.web_server import WebServer

_FLAGS = (
    "--clip_model=none",
    "--captioner=none",
    "--allow_private_hosts=true",
    "--unit_rows=4",
    "--extra_columns=true",
)
_PREFILTER = "--prefilter=similarity>0.3,nsfw==UNLIKELY,basic"


def test_nothing_is_fetched_for_rows_that_are_out(tmp_path: Path) -> None:
    captions = {
        "good": "A red bicycle leaning against a wall",
        "short": "red bicycle",
        "german": "Ein rotes Fahrrad lehnt an einer Mauer",
    }
    rows = [  # path, caption, similarity, nsfw, width, height, detail
        ("/0.jpg", "good", 0.31, "UNLIKELY", 640, 480, None),
        ("/1.jpg", "good", 0.30, "UNLIKELY", 640, 480, "similarity 0.3 is not > 0.3"),
        ("/2.jpg", "good", None, "UNLIKELY", 640, 480, "similarity is missing"),
        ("/3.jpg", "good", 0.40, "NSFW", 640, 480, 'nsfw "NSFW" is not == "UNLIKELY"'),
        ("/4.jpg", "good", 0.40, "UNLIKELY", 640, 199, "min_side 199 is not >= 200"),
        ("/5.jpg", "good", 0.40, "UNLIKELY", 900, 250, "aspect_ratio 3.6 is not <= 3"),
        ("/6.jpg", "short", 0.40, "UNLIKELY", 640, 480, "caption_words 2 is not > 2"),
        ("/7.jpg", "german", 0.40, "UNLIKELY", 640, 480, 'language "de" is not == "en"'),
        ("/8.jpg", "good", 0.40, "UNLIKELY", 640, 480, None),
        ("/9.jpg", "good", 0.40, "UNLIKELY", None, 480, "min_side is missing"),
    ]
    with WebServer({row[0]: jpeg(320, 240) for row in rows}) as web:
        columns = {
            "uid": [f"u{n}" for n in range(len(rows))],
            "url": [web.url(row[0]) for row in rows],
            "text": [captions[row[1]] for row in rows],
            **{name: [row[2 + n] for row in rows] for n, name in enumerate(("similarity", "nsfw", "WIDTH", "HEIGHT"))},
        }
        shard = write_parquet(tmp_path / "a.parquet", columns, 7)
        output = tmp_path / "out"
        command = (f"--input={shard}", f"--output={output}", *_FLAGS, _PREFILTER)
        assert run_here(*command) == 0
        assert dict(web.requests) == {"/0.jpg": 1, "/8.jpg": 1}
        assert_accounts(output, len(rows))
        first = final_bytes(output)
        # The same command again does nothing again.
        assert run_here(*command) == 0
        assert run_here(*command, "--retry=transient") == 0
        assert sum(web.requests.values()) == 2
        assert final_bytes(output) == first

    out = sorted(rejected(output), key=lambda row: row["uid"])
    expected = [(f"u{n}", row) for n, row in enumerate(rows) if row[-1]]
    assert [(row["uid"], row["detail"]) for row in out] == [(uid, row[-1]) for uid, row in expected]
    assert {(row["stage"], row["reason"]) for row in out} == {("read", "prefiltered")}
    assert [row["caption"] for row in out] == [captions[row[1]] for _, row in expected]
    assert all(row["url"].startswith("http://") for row in out)
    assert kept(output)["uid"].to_pylist() == ["u0", "u8"]

    told = summary(output)
    read = next(stage for stage in told["counts"]["by_stage"] if stage["stage"] == "read")
    assert (read["rejected"], read["reasons"]) == (8, {"prefiltered": 8})
    written = ["similarity>0.3", "nsfw==UNLIKELY", "language==en", "caption_words>2", "caption_chars>5"]
    assert told["config"]["prefilter"] == [*written, "min_side>=200", "aspect_ratio<=3"]
    for page in ("report.html", "README.md"):
        text = re.sub(r"\\(.)", r"\1", html.unescape((output / page).read_text()))
        assert ", ".join(told["config"]["prefilter"]) in text
    run = json.loads((output / "_checkpoint/run.json").read_text())
    assert run["identity"]["prefilter"] == told["config"]["prefilter"]


def test_another_prefilter_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = write_parquet(tmp_path / "a.parquet", {"url": ["http://127.0.0.1:1/a"], "similarity": [0.1]})
    command = (f"--input={shard}", f"--output={tmp_path / 'out'}", *_FLAGS)
    assert run_here(*command, "--prefilter=similarity>0.3") == 0
    capsys.readouterr()
    assert run_here(*command, "--prefilter=similarity>0.2") == 2
    assert "(--prefilter was similarity>0.3, now similarity>0.2)" in capsys.readouterr().err
    # Another way of writing the same.
    assert run_here(*command, "--prefilter= similarity > .30, similarity>0.3") == 0
