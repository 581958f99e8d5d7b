"""`collect` runs stages on a few rows and gives back every one of them."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from support.shards import jpeg, write_parquet

from beam_recap.fetch import FetchSettings
from beam_recap.records import Outcome, Reason, Sample, Stage
from pipelines import notebook
from pipelines.notebook import collect
from transforms.fetch_image import FetchImage
from transforms.outcomes import SplitOutcomes
from transforms.read_shards import ReadShards

ROWS = [Sample(unit="in[0:30]", index=index, uid=f"u{index}", key=f"{index}") for index in range(12)]


class OddOnly(beam.PTransform):
    """Rejects rows of even numbers; defined by a user, as in a notebook."""

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return rows | beam.ParDo(_OddOnlyFn()) | SplitOutcomes("OddOnly")


class _OddOnlyFn(beam.DoFn):
    def process(self, sample: Sample) -> Iterator[Outcome]:
        yield sample if sample.index % 2 else sample.reject(Stage.OCR, Reason.HAS_TEXT, "even")


class Marked(beam.PTransform):
    """Gives rows alone, without rejections."""

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return rows | beam.Map(lambda sample: dataclasses.replace(sample, caption="seen")).with_output_types(Sample)


def test_every_row_comes_back_once_in_the_inputs_order() -> None:
    found = collect(reversed(ROWS), Marked(), OddOnly(), OddOnly())  # the same stage twice, too
    assert [row.index for row in found.kept] == [1, 3, 5, 7, 9, 11]
    assert [row.sample.index for row in found.rejected] == [0, 2, 4, 6, 8, 10]
    rows = found.rows()
    assert [row["uid"] for row in rows] == [row.uid for row in ROWS]
    assert [row["caption"] for row in rows] == ["seen"] * 12
    assert (rows[0]["stage"], rows[0]["reason"], rows[0]["detail"]) == ("ocr", "has_text", "even")
    assert (rows[1]["stage"], rows[1]["reason"], rows[1]["detail"]) == (None, None, None)
    assert not {"image", "image_bytes", "image_embedding", "seconds"} & set(rows[0])
    assert found.counters["OddOnly.rows_in"] == 18 and found.counters["OddOnly.rejected_has_text"] == 6
    assert notebook._FOUND == {}


def test_rows_of_files_with_pictures(tmp_path: Path) -> None:
    urls = []
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(64 + number, 48))
        urls.append(f"{tmp_path}/{number}.jpg")
    write_parquet(tmp_path / "a.parquet", {"url": [*urls, f"{tmp_path}/none.jpg"], "text": ["a"] * 21})
    fetch = FetchImage(FetchSettings(allow_local_files=True))
    found = collect(ReadShards([str(tmp_path / "a.parquet")], unit_rows=8), fetch)
    assert [row["url"] for row in found.rows()] == [*urls, f"{tmp_path}/none.jpg"]  # across units
    assert [row.width for row in found.kept] == [64 + number for number in range(20)]
    assert all(isinstance(row.image, np.ndarray) for row in found.kept)
    assert [row.reason for row in found.rejected] == [Reason.MISSING_IMAGE]
    # What was kept goes on, pictures and all.
    again = collect(found.kept, OddOnly())
    assert len(again.kept) + len(again.rejected) == 20 and again.kept[0].image.shape == (48, 65, 3)


def test_in_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Beam would look for its interactive runner, which other versions of pandas break."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}}, execution_count=1)
    jupyter = types.ModuleType("IPython")
    jupyter.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", jupyter)
    monkeypatch.setitem(sys.modules, "apache_beam.runners.interactive.interactive_environment", None)
    assert len(collect(ROWS, OddOnly()).kept) == 6


def test_nothing_in_nothing_out() -> None:
    found = collect([], OddOnly())
    assert (found.kept, found.rejected, found.rows()) == ([], [], [])


def test_an_exception_of_a_stage_is_raised_and_leaves_nothing() -> None:
    class Broken(beam.PTransform):
        def expand(self, rows: beam.PCollection) -> beam.PCollection:
            return rows | beam.Map(lambda sample: sample.nothing)

    with pytest.raises(Exception, match="nothing"):
        collect(ROWS, Broken())
    assert notebook._FOUND == {}
