"""ReadShards with Beam's testing tools."""

from __future__ import annotations

import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from support.shards import jpeg, write_parquet, write_tar

from beam_recap import checkpoint
from beam_recap.records import Reason, Stage
from transforms.read_shards import ReadShards


@pytest.fixture
def shards(tmp_path):
    write_parquet(
        tmp_path / "a.parquet", {"url": [f"http://h/{i}" for i in range(7)], "text": ["x"] * 7}, row_group_size=4
    )
    samples = [{"__key__": f"k{i}", "jpg": jpeg(40, 40, "red"), "txt": b"cap"} for i in range(3)]
    write_tar(tmp_path / "b.tar", [*samples, {"__key__": "k9", "txt": b"no picture"}])
    return tmp_path


def _read(pipeline, shards, **options):
    patterns = [str(shards / "*.parquet"), str(shards / "*.tar")]
    return pipeline | ReadShards(patterns, **options)


def test_reads_both_formats(shards):
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = _read(pipeline, shards, unit_rows=3)
        urls = [f"http://h/{i}" for i in range(7)]
        assert_that(read.kept | "Url" >> _map(lambda s: s.url or s.key), equal_to([*urls, "k0", "k1", "k2"]), "kept")
        assert_that(
            read.rejected | _map(lambda r: (r.sample.key, r.reason)), equal_to([("k9", Reason.MISSING_IMAGE)]), "out"
        )
        counts = read.units | "Count" >> _map(lambda u: (u.shard_number, u.start, u.rows))
        assert_that(counts, equal_to([(0, 0, 3), (0, 3, 1), (0, 4, 3), (1, 0, 4)]), "units")


@pytest.mark.parametrize("limit", [1, 4, 8, 10, 99])
def test_max_rows_takes_the_head_of_the_input(shards, limit):
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = _read(pipeline, shards, unit_rows=3, max_rows=limit)
        rows = read.units | _map(lambda u: u.rows)
        assert_that(rows, lambda given: _assert_equal(sum(given), min(limit, 11)))


def test_skips_rows_that_have_an_outcome(shards, tmp_path):
    output = str(tmp_path / "out")
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = _read(pipeline, shards)
        assert_that(read.kept, lambda samples: checkpoint.write_outcomes(output, 1, samples[:4]) and None)
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = _read(pipeline, shards, output=output)
        assert_that(read.kept, lambda samples: _assert_equal(len(samples), 6))
        assert_that(read.units | _map(lambda u: u.rows), equal_to([4, 3, 4]), "all units are counted")


def test_retry_reopens_by_class(shards, tmp_path):
    output = str(tmp_path / "out")

    def write(samples):
        samples = sorted(samples, key=lambda sample: sample.url or "")
        outcomes = [samples[-1].reject(Stage.FETCH, Reason.TIMEOUT), samples[-2].reject(Stage.FETCH, Reason.HTTP_4XX)]
        checkpoint.write_outcomes(output, 1, [*outcomes, *samples[:-2]])

    with TestPipeline(runner="FnApiRunner") as pipeline:
        assert_that(_read(pipeline, shards).kept, write)
    for retry, expected in (("none", 0), ("transient", 1), ("all", 2)):
        with TestPipeline(runner="FnApiRunner") as pipeline:
            read = _read(pipeline, shards, output=output, retry=retry)
            assert_that(read.kept, lambda samples, expected=expected: _assert_equal(len(samples), expected))


def test_refuses_a_bare_string():
    with pytest.raises(ValueError, match="list of paths"):
        ReadShards("a.parquet")


def _map(function):
    import apache_beam as beam

    return beam.Map(function)


def _assert_equal(given, expected):
    assert given == expected
