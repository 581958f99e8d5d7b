"""Outputs of runs: what is read of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.audits import write_run

from beam_recap.audit.observation import NO_OCR
from beam_recap.audit.run_output import RunOutputError, find_run, is_run_output, read_observations

KEPT = [
    {
        "org_caption": "SALE now",
        "uid": "a",
        "ocr_has_text": True,
        "ocr_text": "SALE",
        "ocr_complete": False,
        "kmeans": 3,
    },
    {"org_caption": None, "uid": "b", "ocr_has_text": False, "ocr_text": "", "ocr_complete": True, "kmeans": None},
    {"org_caption": "x", "uid": "c", "ocr_has_text": None, "ocr_text": None, "ocr_complete": None, "kmeans": 3},
]
REJECTED = [
    {"caption": "BUY it", "uid": "d", "ocr_has_text": True, "ocr_text": "BUY", "stage": "ocr", "reason": "has_text"},
    {"caption": "y", "uid": "e", "ocr_has_text": None, "ocr_text": None, "stage": "fetch", "reason": "dns"},
]


def test_kept_rows(tmp_path: Path) -> None:
    run = find_run(str(write_run(tmp_path, KEPT, REJECTED)))
    assert (run.ocr_engine, run.clusters, len(run.files)) == ("rapidocr-3/x", True, 1)
    first, second, third = read_observations(run.files[0], 0.8)
    assert (first.row_id, first.caption, first.cluster) == ("a", "SALE now", 3)
    assert first.finding is not None
    assert (first.finding.has_text, first.finding.ocr_text, first.finding.complete) == (True, "SALE", False)
    assert first.finding.overlap.rates.normalised == 0.5
    assert second.caption is None
    assert second.finding is not None
    assert (second.finding.has_text, second.cluster) == (False, None)
    assert (third.finding, third.problem) == (None, NO_OCR)


def test_all_rows(tmp_path: Path) -> None:
    run = find_run(str(write_run(tmp_path, KEPT, REJECTED, files=2)), rows="all")
    rows = {row.row_id: row for file in run.files for row in read_observations(file, 0.8)}
    assert sorted(rows) == ["a", "b", "c", "d", "e"]
    assert rows["d"].finding is not None
    assert rows["e"].problem == "fetch: dns"


def test_another_caption(tmp_path: Path) -> None:
    kept = [{**row, "re_caption": "now SALE here"} for row in KEPT]
    run = find_run(str(write_run(tmp_path, kept)), caption_column="re_caption")
    assert next(iter(read_observations(run.files[0], 0.8))).caption == "now SALE here"


def test_what_a_run_is(tmp_path: Path) -> None:
    assert is_run_output(str(write_run(tmp_path / "run", KEPT)))
    (tmp_path / "run" / "summary.json").unlink()
    assert not is_run_output(str(tmp_path / "run"))  # a dataset of the hub: its rows are shards
    (tmp_path / "run" / "_checkpoint").mkdir()
    assert is_run_output(str(tmp_path / "run"))
    with pytest.raises(RunOutputError, match="has not ended"):
        find_run(str(tmp_path / "run"))
    assert not is_run_output(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("ocr_text", ["ocr_text", "--extra_columns=true", "--max_ocr_boxes=none"]),
        ("ocr_has_text", ["ocr_has_text", "--ocr=rapidocr"]),
        ("org_caption", ["org_caption or TEXT", "of uid"]),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, missing: str, words: list[str]) -> None:
    kept = [{name: value for name, value in row.items() if name != missing} for row in KEPT]
    with pytest.raises(RunOutputError) as refusal:
        find_run(str(write_run(tmp_path, kept)))
    assert all(word in str(refusal.value) for word in words)
    assert "\n" not in str(refusal.value)


def test_a_run_without_ocr_is_refused(tmp_path: Path) -> None:
    kept = [{**row, "ocr_has_text": None, "ocr_text": None} for row in KEPT]
    with pytest.raises(RunOutputError, match="null everywhere"):
        find_run(str(write_run(tmp_path, kept)))


def test_an_empty_run_is_none_of_these(tmp_path: Path) -> None:
    schema = pa.schema([("org_caption", pa.string()), ("ocr_has_text", pa.bool_()), ("ocr_text", pa.string())])
    (tmp_path / "data").mkdir()
    pq.write_table(schema.empty_table(), tmp_path / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "summary.json").write_text("{}")
    run = find_run(str(tmp_path))
    assert list(read_observations(run.files[0], 0.8)) == []


def test_a_file_that_breaks_off_gives_all_its_rows(tmp_path: Path) -> None:
    kept = [{**KEPT[0], "uid": str(number), "org_caption": f"caption {number} " * 20} for number in range(3000)]
    run = find_run(str(write_run(tmp_path, kept)))
    path = Path(run.files[0].path)
    data = bytearray(path.read_bytes())
    data[40 : len(data) // 2] = b"\x5a" * (len(data) // 2 - 40)
    path.write_bytes(data)
    rows = list(read_observations(run.files[0], 0.8))
    assert len(rows) == 3000
    assert rows[-1].problem is not None
    assert rows[-1].problem.startswith("read: ")


@pytest.mark.parametrize("summary", ["", "[]", "{", '{"models": 7}'])
def test_a_summary_of_strangers(tmp_path: Path, summary: str) -> None:
    folder = str(write_run(tmp_path, KEPT, summary=summary))
    if summary in ("", "{"):
        with pytest.raises(RunOutputError, match=r"summary\.json that cannot be read"):
            find_run(folder)
    else:
        assert find_run(folder).ocr_engine is None


def test_text_that_is_no_utf8_costs_no_neighbour(tmp_path: Path) -> None:
    write_run(tmp_path, KEPT)
    table = pa.table(
        {
            "org_caption": pa.array([b"SALE \xff", b"SALE"]).view(pa.string()),
            "uid": ["a", "b"],
            "ocr_has_text": [True, True],
            "ocr_text": ["SALE", "SALE"],
        }
    )
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    run = find_run(str(tmp_path))
    rows = list(read_observations(run.files[0], 0.8))
    assert [row.finding.overlap.rates.normalised for row in rows if row.finding] == [1.0, 1.0]
