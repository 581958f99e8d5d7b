"""ReadShards with a prefilter: one outcome for every row, whatever the shard."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that
from support.shards import jpeg, write_parquet, write_table, write_tar

from beam_recap import checkpoint
from beam_recap.records import Reason, Stage
from transforms.read_shards import ReadShards


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    rows = {
        "url": [f"http://h/{n}" for n in range(10)],
        "text": ["a cat"] * 10,
        "similarity": [n / 10 for n in range(10)],
    }
    write_parquet(folder / "a.parquet", rows, 4)
    write_table(folder / "b.csv", rows)
    write_table(folder / "c.jsonl.gz", rows)
    samples = [
        {"__key__": f"{n}", "jpg": jpeg(), "txt": b"a cat", "json": json.dumps({"similarity": n / 10}).encode()}
        for n in range(10)
    ]
    write_tar(folder / "d.tar", samples)
    return folder


def read(pipeline: beam.Pipeline, shards: Path, **options: Any) -> Any:
    return pipeline | ReadShards([str(shards)], unit_rows=3, prefilter=("similarity>0.65",), **options)


def test_every_row_has_one_outcome(shards: Path) -> None:
    def check_rejected(rows: list[Any]) -> None:
        assert Counter((row.stage, row.reason) for row in rows) == {(Stage.READ, Reason.PREFILTERED): 4 * 7}
        assert Counter(row.detail for row in rows) == {f"similarity {n / 10:g} is not > 0.65": 4 for n in range(7)}
        assert all(row.sample.caption == "a cat" and row.sample.image_bytes is None for row in rows)

    with TestPipeline(runner="FnApiRunner") as pipeline:
        outputs = read(pipeline, shards)
        urls = outputs.kept | beam.Map(lambda sample: sample.url or sample.key)
        expected = [f"http://h/{n}" for n in (7, 8, 9)] * 3 + ["7", "8", "9"]
        assert_that(urls, lambda found: _assert_equal(sorted(found), sorted(expected)), "kept")
        assert_that(outputs.rejected, check_rejected, "rejected")
        rows = outputs.units | "Rows" >> beam.Map(lambda unit: unit.rows)
        assert_that(rows, lambda found: _assert_equal(sum(found), 40), "units")


@pytest.mark.parametrize("limit", [1, 10, 23, 40])
def test_max_rows_counts_rows_that_are_out(shards: Path, limit: int) -> None:
    with TestPipeline(runner="FnApiRunner") as pipeline:
        outputs = read(pipeline, shards, max_rows=limit)
        outcomes = (
            outputs.kept | beam.Map(lambda row: "kept"),
            outputs.rejected | "Out" >> beam.Map(lambda row: "out"),
        )
        whole, rest = divmod(limit, 10)
        expected = {"kept": 3 * whole + max(0, rest - 7), "out": 7 * whole + min(rest, 7)}
        assert_that(
            outcomes | beam.Flatten(),
            lambda found: _assert_equal({**dict.fromkeys(expected, 0), **Counter(found)}, expected),
        )


@pytest.mark.parametrize(("retry", "judged"), [("none", 0), ("transient", 0), ("all", 28)])
def test_rows_that_are_out_stay_out(shards: Path, tmp_path: Path, retry: str, judged: int) -> None:
    output = str(tmp_path / "out")
    with TestPipeline(runner="FnApiRunner") as pipeline:
        outputs = read(pipeline, shards)
        assert_that(outputs.rejected, lambda rows: checkpoint.write_outcomes(output, 1, rows) and None)
    with TestPipeline(runner="FnApiRunner") as pipeline:
        outputs = read(pipeline, shards, output=output, retry=retry)
        assert_that(outputs.rejected, lambda rows: _assert_equal(len(rows), judged), "out")
        assert_that(outputs.kept, lambda rows: _assert_equal(len(rows), 12), "kept")


def test_conditions_are_checked_when_the_transform_is_made() -> None:
    with pytest.raises(ValueError, match="unknown comparison"):
        ReadShards(["a.parquet"], prefilter=("similarity=0.3",))


def _assert_equal(found: Any, expected: Any) -> None:
    assert found == expected
