"""ReadShards with Beam's testing tools."""

from __future__ import annotations

import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from support.shards import jpeg, write_parquet, write_table, write_tar

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


KINDS = [kind + packed for kind in ("txt", "csv", "tsv", "json", "jsonl") for packed in ("", ".gz")]


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, kind in enumerate(KINDS):
        urls = [f"http://h/{number}/{row}" for row in range(7)]
        write_table(folder / f"{number}.{kind}", {"url": urls, "md5": ["AB" * 16] * 7})
    (folder / "_SUCCESS").touch()
    (folder / "0_stats.json").write_text('{"count": 7}')
    return folder


def test_reads_a_folder_of_texts(texts, tmp_path):
    urls = [f"http://h/{number}/{row}" for number in range(len(KINDS)) for row in range(7)]
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadShards([str(texts)], unit_rows=3, digest_column="md5")
        assert_that(read.kept | "Url" >> _map(lambda s: s.url), equal_to(urls), "kept")
        assert_that(read.rejected, equal_to([]), "out")
        digests = read.kept | "Digest" >> _map(lambda s: (s.url.split("/")[3], s.expected_digest))
        expected = [(str(n), None if kind.startswith("txt") else "ab" * 16) for n, kind in enumerate(KINDS)]
        assert_that(digests, equal_to([pair for pair in expected for _ in range(7)]), "digests")
        counts = read.units | "Count" >> _map(lambda u: (u.shard_number, u.start, u.rows))
        streams = [number for number, kind in enumerate(KINDS) if "gz" in kind or kind == "json"]
        ranges = [(number, start, min(3, 7 - start)) for number in range(len(KINDS)) for start in (0, 3, 6)]
        expected = [given for given in ranges if given[0] not in streams] + [(number, 0, 7) for number in streams]
        assert_that(counts, equal_to(expected), "units")


def test_texts_go_on_where_they_stopped(texts, tmp_path):
    output = str(tmp_path / "out")
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadShards([str(texts)], unit_rows=3)
        assert_that(read.kept, lambda samples: checkpoint.write_outcomes(output, 1, samples[::2]) and None)
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadShards([str(texts)], unit_rows=3, output=output)
        assert_that(read.kept, lambda samples: _assert_equal(len(samples), 35))
        assert_that(read.units | _map(lambda u: u.rows), lambda rows: _assert_equal(sum(rows), 70), "all are counted")


@pytest.mark.parametrize("limit", [1, 6, 7, 8, 20, 69, 99])
def test_max_rows_takes_the_head_of_texts(texts, limit):
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadShards([str(texts)], unit_rows=3, max_rows=limit)
        urls = [f"http://h/{number}/{row}" for number in range(len(KINDS)) for row in range(7)][:limit]
        assert_that(read.kept | _map(lambda s: s.url), equal_to(urls))


def test_what_cannot_be_read_is_one_rejection(tmp_path):
    (tmp_path / "a.csv").write_bytes("url\n".encode("utf-16"))
    (tmp_path / "b.csv").write_bytes(b"url\nhttp://h\nhttp://h,2\n")
    with TestPipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadShards([str(tmp_path)])
        told = read.rejected | _map(lambda r: (r.reason, r.detail))
        expected = [
            (Reason.CORRUPT_SHARD, f"{tmp_path}/a.csv is text in UTF-16 or UTF-32"),
            (Reason.MALFORMED_ROW, "the row has 2 fields, the header 1"),
        ]
        assert_that(told, equal_to(expected))


def test_refuses_a_bare_string():
    with pytest.raises(ValueError, match="list of paths"):
        ReadShards("a.parquet")


def _map(function):
    import apache_beam as beam

    return beam.Map(function)


def _assert_equal(given, expected):
    assert given == expected
