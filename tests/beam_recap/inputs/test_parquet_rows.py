from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.shards import write_parquet

from beam_recap import files
from beam_recap.inputs.parquet_rows import read_parquet_rows
from beam_recap.inputs.units import Shard, Unit, plan_units
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage


def url(number: int) -> str:
    return f"http://host/{number:06d}.jpg"


def plan(path: Path, unit_rows: int = 10_000, number: int = 7) -> list[Unit]:
    return list(plan_units(Shard(str(path), number), unit_rows))


def read(unit: Unit, done: set[int] | None = None, **columns: str) -> list[Outcome]:
    chosen: dict[str, Any] = {"url_column": None, "caption_column": None, **columns}
    return list(read_parquet_rows(unit, done=done or set(), **chosen))


def place(outcome: Outcome) -> tuple[str, int]:
    sample = outcome.sample if isinstance(outcome, Rejection) else outcome
    return sample.unit, sample.index


@pytest.mark.parametrize("unit_rows", [1, 3, 1000, 1500, 10_000])
@pytest.mark.parametrize("row_group_size", [7, 2500, 5000])
def test_every_row_is_read_once_whatever_the_cut(tmp_path: Path, unit_rows: int, row_group_size: int) -> None:
    count = 40 if min(unit_rows, row_group_size) < 10 else 5000
    path = write_parquet(tmp_path / "a.parquet", {"url": [url(n) for n in range(count)]}, row_group_size)
    units = plan(path, unit_rows)
    rows = [row for unit in units for row in read(unit)]
    assert [row.url for row in rows] == [url(n) for n in range(count)]  # type: ignore[union-attr]
    assert [row.source_row for row in rows] == list(range(count))  # type: ignore[union-attr]
    assert [place(row) for row in rows] == [(unit.name, index) for unit in units for index in range(unit.rows or 0)]
    assert [row.key for row in rows] == [f"00007{n:04d}" for n in range(count)]  # type: ignore[union-attr]


def test_a_rows_columns(tmp_path: Path) -> None:
    columns = {
        "SAMPLE_ID": [1, None],
        "URL": ["http://x/a.jpg", "http://x/b.jpg"],
        "TEXT": ["a cat", None],
        "HEIGHT": [480.0, None],
        "WIDTH": [640.0, float("nan")],
        "LICENSE": ["?", None],
        "NSFW": ["UNLIKELY", None],
        "similarity": [0.3, 0.4],
    }
    first, second = read(plan(write_parquet(tmp_path / "a.parquet", columns))[0])
    assert isinstance(first, Sample) and isinstance(second, Sample)
    assert (first.uid, first.source_id, first.caption, first.license, first.nsfw) == ("1", 1, "a cat", "?", "UNLIKELY")
    assert (first.source_width, first.source_height) == (640, 480)
    assert (second.source_id, second.caption, second.source_width, second.source_height) == (None, None, None, None)
    assert second.clip_score is None  # the source's score is not this run's


def test_chosen_columns(tmp_path: Path) -> None:
    columns = {"url": ["wrong"], "text": ["wrong"], "link": ["http://x"], "alt": ["right"]}
    (row,) = read(plan(write_parquet(tmp_path / "a.parquet", columns))[0], url_column="link", caption_column="alt")
    assert isinstance(row, Sample)
    assert (row.url, row.caption) == ("http://x", "right")


@pytest.mark.parametrize("done", [set(), {0}, {2}, {0, 1, 3}, {0, 1, 2, 3}])
def test_rows_with_an_outcome_are_skipped(tmp_path: Path, done: set[int]) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": [url(n) for n in range(8)]}, 8)
    second = plan(path, 4)[1]
    rows = read(second, done)
    left = [index for index in range(4) if index not in done]
    assert [(row.index, row.url) for row in rows] == [(index, url(4 + index)) for index in left]  # type: ignore[union-attr]


def test_rows_without_a_url_are_rejected_each(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": ["http://x", None, " ", "http://y"], "text": list("abcd")})
    kept, null, blank, last = read(plan(path)[0])
    assert isinstance(kept, Sample) and isinstance(last, Sample)
    for rejected in (null, blank):
        assert isinstance(rejected, Rejection)
        assert (rejected.stage, rejected.reason) == (Stage.READ, Reason.MISSING_URL)
    assert (null.sample.caption, null.sample.index) == ("b", 1)  # type: ignore[union-attr]


TEXT_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
]


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_text_of_every_type(tmp_path: Path, kind: pa.DataType) -> None:
    captions = pa.array(["ä 🎈", None, "b", "ä 🎈"], pa.string()).cast(kind)
    urls = pa.array([url(n) for n in range(4)], pa.string()).cast(kind)
    rows = read(plan(write_parquet(tmp_path / "a.parquet", {"url": urls, "text": captions}))[0])
    assert [(row.url, row.caption) for row in rows] == [  # type: ignore[union-attr]
        (url(0), "ä 🎈"),
        (url(1), None),
        (url(2), "b"),
        (url(3), "ä 🎈"),
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_that_is_no_utf8_costs_no_neighbour(tmp_path: Path, kind: pa.DataType) -> None:
    raw = pa.array([b"http://a", b"http://\xff\xfe", b"http://c"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    if pa.types.is_dictionary(kind):
        text = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), text)
    elif pa.types.is_large_string(kind):
        large = raw.cast(pa.large_binary())
        text = pa.Array.from_buffers(pa.large_string(), 3, large.buffers())
    rows = read(plan(write_parquet(tmp_path / "a.parquet", {"url": text}))[0])
    assert [row.url for row in rows] == ["http://a", "http://\ufffd\ufffd", "http://c"]  # type: ignore[union-attr]


def test_the_sources_ids_may_be_numbers_or_text(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": ["u"], "key": [12], "SAMPLE_ID": ["77"], "WIDTH": [640.0]})
    (row,) = read(plan(path)[0])
    assert isinstance(row, Sample)
    assert (row.key, row.source_id, row.uid, row.source_width) == ("12", 77, "77", 640)


def damage(path: Path, row_group: int, column: int, at: float, length: int = 60) -> None:
    """Inverts bytes within the data pages of one column of one row group."""
    chunk = pq.ParquetFile(path).metadata.row_group(row_group).column(column)
    content = bytearray(path.read_bytes())
    start = chunk.data_page_offset + int(at * (chunk.total_compressed_size - length))
    content[start : start + length] = bytes(byte ^ 0xFF for byte in content[start : start + length])
    path.write_bytes(content)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("at", [0.05, 0.5, 0.95])
def test_a_damaged_page_costs_the_rows_of_its_row_group_only(tmp_path: Path, column: int, at: float) -> None:
    columns = {"url": [url(n) for n in range(300)], "text": [f"caption {n * 7919 % 300}" for n in range(300)]}
    path = write_parquet(tmp_path / "a.parquet", columns, 100, compression="zstd", use_dictionary=False)
    damage(path, 1, column, at)
    units = plan(path, 50)
    assert len(units) == 6
    for number, unit in enumerate(units):
        rows = read(unit)
        assert [place(row) for row in rows] == [(unit.name, index) for index in range(50)]
        if number in (2, 3):
            rejected = [row for row in rows if isinstance(row, Rejection)]
            assert len(rejected) == 50
            assert {(row.stage, row.reason) for row in rejected} == {(Stage.READ, Reason.CORRUPT_SHARD)}
            assert len({row.sample.uid for row in rejected}) == 50
            assert [row.sample.source_row for row in rejected] == list(range(number * 50, number * 50 + 50))
            assert all(row.detail for row in rejected)
        else:
            assert [row.url for row in rows] == [url(number * 50 + index) for index in range(50)]  # type: ignore[union-attr]


def test_rows_before_a_damaged_page_are_read(tmp_path: Path) -> None:
    urls = {"url": [url(n) for n in range(10_000)]}
    path = write_parquet(
        tmp_path / "a.parquet", urls, 10_000, compression="zstd", use_dictionary=False, data_page_size=4096
    )
    damage(path, 0, 0, 0.6)
    (unit,) = plan(path)
    rows = read(unit, done={0, 9_999})
    kept = [row for row in rows if isinstance(row, Sample)]
    rejected = [row for row in rows if isinstance(row, Rejection)]
    assert 3_000 < len(kept) < 7_000
    assert [row.url for row in kept] == [url(n) for n in range(1, len(kept) + 1)]
    assert [row.sample.index for row in rejected] == list(range(len(kept) + 1, 9_999))


def test_a_file_that_vanished_is_rejected_row_by_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": [url(n) for n in range(3)]})
    (unit,) = plan(path)
    path.unlink()
    rows = read(unit, done={1})
    assert [place(row)[1] for row in rows] == [0, 2]
    assert {row.reason for row in rows if isinstance(row, Rejection)} == {Reason.CORRUPT_SHARD}


def test_a_file_that_shrank_is_rejected_where_it_ends(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": [url(n) for n in range(5)]})
    (unit,) = plan(path)
    write_parquet(path, {"url": [url(n) for n in range(3)]})
    rows = read(unit)
    assert [isinstance(row, Rejection) for row in rows] == [False, False, False, True, True]
    assert "ends after 3 of the unit's 5 rows" in rows[4].detail  # type: ignore[union-attr]


def test_a_shard_without_urls_is_rejected_row_by_row(tmp_path: Path) -> None:
    rows = read(plan(write_parquet(tmp_path / "a.parquet", {"link": ["a", "b"]}))[0])
    assert [row.reason for row in rows] == [Reason.CORRUPT_SHARD] * 2  # type: ignore[union-attr]
    assert "--url_column" in rows[0].detail  # type: ignore[union-attr]


class CountingFile(io.RawIOBase):
    """Counts what is read of a file, and the largest piece."""

    def __init__(self, path: str):
        self._file = open(path, "rb")  # noqa: SIM115 - closed below
        self.total = self.largest = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.total += len(data)
        self.largest = max(self.largest, len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


ROWS, URL_BYTES = 25_000, 2_000


def write_large(path: Path, row_group_size: int) -> int:
    """50 MB that do not compress."""
    letters = np.random.default_rng(0).integers(97, 123, ROWS * URL_BYTES, dtype=np.uint8)
    offsets = np.arange(0, ROWS + 1, dtype=np.int32) * URL_BYTES
    urls = pa.StringArray.from_buffers(ROWS, pa.py_buffer(offsets), pa.py_buffer(letters))
    write_parquet(path, {"url": urls}, row_group_size, compression="none", use_dictionary=False)
    assert path.stat().st_size > 50_000_000
    return path.stat().st_size


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[CountingFile]:
    opened: list[CountingFile] = []

    def open_counting(path: str) -> CountingFile:
        opened.append(CountingFile(path))
        return opened[-1]

    monkeypatch.setattr(files, "open_read", open_counting)
    return opened


def test_a_unit_reads_its_own_row_group_only(tmp_path: Path, opened: list[CountingFile]) -> None:
    size = write_large(tmp_path / "a.parquet", 2_500)
    units = plan(tmp_path / "a.parquet")
    assert len(units) == 10
    opened.clear()
    for unit in (units[0], units[7]):
        rows = read_parquet_rows(unit, url_column=None, caption_column=None, done=set())
        assert sum(isinstance(row, Sample) for row in rows) == 2_500
    assert [file.total < size / 10 + 1_000_000 for file in opened] == [True, True]
    assert all(file.closed for file in opened)


def test_memory_stays_flat_within_one_row_group(tmp_path: Path, opened: list[CountingFile]) -> None:
    write_large(tmp_path / "a.parquet", ROWS)
    (unit,) = plan(tmp_path / "a.parquet", ROWS)
    opened.clear()
    pool = pa.default_memory_pool()
    before, most = pool.bytes_allocated(), 0
    tracemalloc.start()
    try:
        rows = 0
        for _ in read_parquet_rows(unit, url_column=None, caption_column=None, done=set()):
            rows += 1
            if rows == 1:
                assert opened[0].total < 10_000_000  # of 50 MB: the first row is there before the rest is read
            most = max(most, pool.bytes_allocated() - before)
        python_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == ROWS
    assert opened[0].largest < 5_000_000
    assert most + python_peak < 25_000_000
