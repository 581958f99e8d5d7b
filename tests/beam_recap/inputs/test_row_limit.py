from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.shards import tar_bytes, write_parquet, write_table, write_tar

from beam_recap.inputs.formats import PARQUET, TAR
from beam_recap.inputs.row_limit import limit_units
from beam_recap.inputs.units import Shard, Unit, plan_units


def urls(count: int) -> dict[str, list[str]]:
    return {"url": [f"http://x/{number}" for number in range(count)]}


def pictures(count: int) -> list[dict[str, object]]:
    return [{"__key__": f"{number:03d}", "jpg": b"picture"} for number in range(count)]


@pytest.mark.parametrize(
    ("limit", "ranges"),
    [
        (1, [(0, 1)]),
        (3, [(0, 3)]),
        (4, [(0, 3), (3, 1)]),
        (10, [(0, 3), (3, 3), (6, 1)]),
    ],
)
def test_a_limit_cuts_the_last_unit(tmp_path: Path, limit: int, ranges: list[tuple[int, int]]) -> None:
    path = str(write_parquet(tmp_path / "a.parquet", urls(7)))
    units = list(limit_units(plan_units(Shard(path, 0), 3), limit))
    assert [(unit.start, unit.rows) for unit in units] == ranges


@pytest.mark.parametrize(
    ("limit", "tar_limits", "parquet_rows"),
    [(2, [2], []), (3, [3], []), (4, [3, 1], []), (6, [3, 3], []), (8, [3, 3], [2]), (99, [3, 3], [4])],
)
def test_a_limit_counts_the_rows_of_tars(
    tmp_path: Path, limit: int, tar_limits: list[int], parquet_rows: list[int]
) -> None:
    tar = str(write_tar(tmp_path / "a.tar", pictures(3)))
    other = shutil.copy(tar, tmp_path / "b.tar")
    parquet = str(write_parquet(tmp_path / "c.parquet", urls(4)))
    shards = [Shard(str(path), number) for number, path in enumerate((tar, other, parquet))]
    units = list(limit_units((unit for shard in shards for unit in plan_units(shard, 10)), limit))
    assert [unit.limit for unit in units if unit.format == TAR] == tar_limits
    assert [unit.rows for unit in units if unit.format == PARQUET] == parquet_rows


@pytest.mark.parametrize(
    ("limit", "taken"),
    [(2, [2]), (3, [3]), (4, [3, 1]), (6, [3, 2, 1]), (8, [3, 2, 2, 1]), (10, [3, 2, 2, 3]), (99, [3, 2, 2, 3])],
)
def test_a_limit_counts_the_rows_of_texts(tmp_path: Path, limit: int, taken: list[int]) -> None:
    paths = [
        write_table(tmp_path / "a.csv.gz", urls(3)),
        write_table(tmp_path / "b.tsv", urls(4)),
        write_table(tmp_path / "c.json", urls(3)),
    ]
    shards = [Shard(str(path), number) for number, path in enumerate(paths)]
    units = list(limit_units((unit for shard in shards for unit in plan_units(shard, 2)), limit))
    assert [unit.limit if unit.rows is None else unit.rows for unit in units] == taken


def test_a_limit_opens_no_further_shard(tmp_path: Path) -> None:
    def units():
        yield Unit("a", 0, PARQUET, 0, 5)
        raise AssertionError("planned a shard beyond the limit")

    assert [unit.rows for unit in limit_units(units(), 5)] == [5]


def test_a_damaged_tar_does_not_break_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(pictures(3))[:300])
    (unit,) = plan_units(Shard(str(tmp_path / "a.tar"), 0), 10)
    assert [unit.limit for unit in limit_units([unit], 10)] == [1]  # its one row is a rejection
