"""The audit's sums in a pipeline: each input on its own, clusters bounded, captions and examples picked."""

from __future__ import annotations

import pickle
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that
from support.audits import judged, tally_of
from support.collected import run_and_collect

from beam_recap.audit.examples import example_of
from beam_recap.audit.observation import Observation
from beam_recap.audit.tally import Tally
from beam_recap.audit.words import CaptionSample
from transforms import tally_rows
from transforms.tally_rows import TallyRows, TopExamples

ROWS = [
    judged(number, f"word{number} SALE", "SALE" if number % 3 else None, cluster=number % 4) for number in range(60)
]
LOST = [Observation(f"lost {number}", f"lost {number}", problem="fetch: dns") for number in range(5)]


class _Both(beam.PTransform):
    """The tallies of two inputs, as one list of what came out."""

    def __init__(self, **settings: Any):
        super().__init__()
        self._settings = settings

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        first = rows | "First" >> beam.Filter(lambda row: row.finding is not None)
        second = rows | "Second" >> beam.Filter(lambda row: row.finding is None)
        empty = rows | "None" >> beam.Filter(lambda row: False)
        found = {"A": first, "B": second, "C": empty} | TallyRows(buckets=1000, cluster_buckets=100, **self._settings)
        named = [found[place] | f"Name{place}" >> beam.Map(_named, name) for place, name in enumerate(found._fields)]
        return named | beam.Flatten()


def _named(value: Any, name: str) -> tuple[str, Any]:
    return name, value


def tallied(rows: list[Observation], **settings: Any) -> dict[str, Any]:
    found = run_and_collect(rows, _Both(**{"seed": 0, **settings}))
    assert sorted(name for name, _ in found) == ["captions", "cluster_count", "clusters", "total"]
    return dict(found)


def test_sums_equal_those_of_one_loop() -> None:
    found = tallied([*ROWS, *LOST])
    total, whole = found["total"], tally_of([*ROWS, *LOST])
    assert (total.rows, total.problems) == (65, {"fetch: dns": 5})
    assert np.array_equal(total.table(), whole.table())
    assert found["cluster_count"] == 4
    assert sorted(label for label, _ in found["clusters"]) == [0, 1, 2, 3]
    for label, tally in found["clusters"]:
        expected = tally_of([row for row in ROWS if row.cluster == label], buckets=100)
        assert np.array_equal(tally.table(), expected.table())
    assert sorted(found["captions"].captions()) == sorted(row.caption or "" for row in [*ROWS, *LOST])


def test_no_rows_give_empty_sums() -> None:
    found = tallied([])
    assert (found["total"].rows, found["cluster_count"], found["clusters"]) == (0, 0, [])
    assert found["captions"].captions() == []


def test_captions_are_kept_only_where_they_are_wanted() -> None:
    assert tallied(ROWS, sample_captions=False)["captions"].captions() == []


def test_the_largest_clusters_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_rows, "MAX_CLUSTERS", 2)
    rows = [judged(number, "a b", "a", cluster=label) for number, label in enumerate([9, 9, 9, 4, 4, 7, 8])]
    found = tallied(rows)
    assert found["cluster_count"] == 4
    assert [(label, tally.rows) for label, tally in found["clusters"]] == [(9, 3), (4, 2)]


def test_what_travels_between_workers_comes_back_whole() -> None:
    sample = CaptionSample(3, 5)
    for number in range(30):
        sample.add(f"id {number}", f"caption {number}")
    for value in (tally_of(ROWS), Tally(), sample):
        assert type(pickle.loads(pickle.dumps(value))) is type(value)
    assert pickle.loads(pickle.dumps(sample)).captions() == sample.captions()


def test_the_best_examples_each_once() -> None:
    rows = [judged(number, " ".join(["SALE", *(f"w{i}" for i in range(number % 90))]), "SALE") for number in range(300)]
    examples = [example_of(row) for row in rows]
    expected = sorted((example.rank for example in examples), reverse=True)[:64]

    def check(found: list[Any]) -> None:
        (best,) = found
        assert [example.rank for example in best] == expected

    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | beam.Create([*examples, *examples]) | TopExamples(), check)
