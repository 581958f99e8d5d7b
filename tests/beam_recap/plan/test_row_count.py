"""Counting rows, and extrapolating them."""

from __future__ import annotations

import gzip
import math
import random
from pathlib import Path

import pytest
from support.shards import jpeg, write_parquet, write_table, write_tar

from beam_recap.inputs.units import MALFORMED, match_shards
from beam_recap.plan import row_count
from beam_recap.plan.row_count import count_rows, extrapolate


def write_shards(folder: Path) -> Path:
    urls = [f"http://example.com/{row}.jpg" for row in range(40)]
    write_parquet(folder / "a.parquet", {"url": urls}, row_group_size=7)
    write_table(folder / "b.csv", {"url": urls[:11], "text": ["two\nlines"] * 11})
    write_table(folder / "c.txt.gz", {"url": urls[:5]})
    write_tar(folder / "d.tar", [{"__key__": str(row), "jpg": jpeg(), "txt": b"x"} for row in range(9)])
    return folder


def test_all_kinds_are_counted(tmp_path: Path) -> None:
    count = count_rows(match_shards([str(write_shards(tmp_path))]), seed=0)
    assert (count.rows, count.standard_error, count.files) == (65, 0, 4)
    assert [(one.format, one.rows) for one in count.counted] == [
        ("parquet", 40),
        ("csv", 11),
        ("txt.gz", 5),
        ("tar", 9),
    ]
    assert count.source == "counted in all 4 files (csv, parquet, tar, txt.gz)"


def test_a_file_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    write_shards(tmp_path)
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "f.txt.gz").write_bytes(gzip.compress(b"http://example.com/1.jpg\n" * 500)[:-30])
    count = count_rows(match_shards([str(tmp_path)]), seed=0)
    kinds = {Path(one.shard.path).name: (one.format, one.rows) for one in count.counted}
    assert kinds["e.parquet"] == (MALFORMED, 1)
    assert kinds["f.txt.gz"][1] >= 1


@pytest.mark.parametrize("wanted", [1, 40, 44, 60, 1000])
def test_only_the_first_rows_count(tmp_path: Path, wanted: int) -> None:
    count = count_rows(match_shards([str(write_shards(tmp_path))]), seed=0, max_rows=wanted)
    assert count.rows == min(65, wanted) == sum(one.rows for one in count.counted)


def test_many_files_are_extrapolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_rows = random.Random(3)
    true = 0
    for number in range(60):
        rows = random_rows.randint(5, 40)
        true += rows
        samples = [{"__key__": str(row), "bin": bytes(random_rows.randint(500, 9000))} for row in range(rows)]
        write_tar(tmp_path / f"{number:03d}.tar", samples)
    monkeypatch.setattr(row_count, "_MOST_BYTES", 0)
    count = count_rows(match_shards([str(tmp_path)]), seed=5)
    assert len(count.counted) == 16
    assert count.source == "counted in 16 of 60 files (tar), the others by their sizes"
    assert count.standard_error > 0
    assert abs(count.rows - true) < 4 * count.standard_error
    assert count_rows(match_shards([str(tmp_path)]), seed=5).rows == count.rows
    assert count_rows(match_shards([str(tmp_path)]), seed=6).rows != count.rows


def test_the_error_of_an_extrapolation_is_about_right() -> None:
    chance = random.Random(0)
    sizes = [chance.randint(1000, 9000) for _ in range(400)]
    rows = [round(size / 50 * chance.uniform(0.7, 1.3)) for size in sizes]
    errors = []
    for seed in range(300):
        chosen = random.Random(seed).sample(range(400), 20)
        found, error = extrapolate([rows[i] for i in chosen], [sizes[i] for i in chosen], sum(sizes), 400)
        errors.append((found - sum(rows)) / error)
    inside = sum(abs(error) < 1.96 for error in errors) / len(errors)
    assert 0.88 < inside <= 1
    assert math.fsum(errors) / len(errors) == pytest.approx(0, abs=0.3)


def test_one_file_tells_nothing_of_how_files_differ() -> None:
    assert extrapolate([10], [100], 1000, 10) == (100, 90)
    assert extrapolate([10, 20], [1, 2], 3, 2) == (30, 0)
