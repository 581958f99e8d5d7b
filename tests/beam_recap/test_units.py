from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from support.shards import jpeg, tar_bytes, write_parquet, write_tar

from beam_recap.row_limit import limit_units
from beam_recap.units import (
    MALFORMED,
    PARQUET,
    TAR,
    Shard,
    ShardError,
    Unit,
    detect_format,
    match_shards,
    parquet_footer,
    plan_units,
    unit_id,
)


def urls(count: int) -> dict[str, list[str]]:
    return {"url": [f"http://x/{number}" for number in range(count)]}


def pictures(count: int) -> list[dict[str, object]]:
    return [{"__key__": f"{number:03d}", "jpg": b"picture"} for number in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.parquet", "a.parquet", "c.tar", "sub/d.parquet", "odd[1].parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*.parquet"], ["a.parquet", "b.parquet", "odd[1].parquet"]),
        (["c.tar", "*.parquet"], ["c.tar", "a.parquet", "b.parquet", "odd[1].parquet"]),
        (["b.parquet", "*.parquet"], ["b.parquet", "a.parquet", "odd[1].parquet"]),
        (["a.parquet", "a.parquet"], ["a.parquet"]),
        (["**/*.parquet"], ["a.parquet", "b.parquet", "odd[1].parquet", "sub/d.parquet"]),
        (["[ab].parquet"], ["a.parquet", "b.parquet"]),
        (["?.tar"], ["c.tar"]),
        (["odd[1].parquet"], ["odd[1].parquet"]),
    ],
)
def test_shards_are_each_file_once_numbered_in_order(folder: Path, patterns: list[str], names: list[str]) -> None:
    expected = [Shard(f"{folder}/{name}", number) for number, name in enumerate(names)]
    assert match_shards([f"{folder}/{pattern}" for pattern in patterns]) == expected


@pytest.mark.parametrize("pattern", ["*.csv", "nothing.tar", "sub"])
def test_a_pattern_without_files_is_an_error(folder: Path, pattern: str) -> None:
    with pytest.raises(ShardError, match=f"{pattern.replace('*', '.')} matches no file"):
        match_shards([f"{folder}/a.parquet", f"{folder}/{pattern}"])


def test_a_file_system_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ShardError, match=r"nosuch://bucket/\*\.parquet cannot be listed"):
        match_shards(["nosuch://bucket/*.parquet"])


def test_unfinished_files_are_no_shards(folder: Path) -> None:
    (folder / ".tmp-0123-e.tar").touch()
    assert [shard.path for shard in match_shards([f"{folder}/*.tar"])] == [f"{folder}/c.tar"]


def test_formats_are_told_by_content(tmp_path: Path) -> None:
    parquet = write_parquet(tmp_path / "a.tar", urls(1))
    tar = write_tar(tmp_path / "b.parquet", pictures(1))
    empty_tar = write_tar(tmp_path / "c.tar", [])
    assert [detect_format(str(path)) for path in (parquet, tar, empty_tar)] == [PARQUET, TAR, TAR]


@pytest.mark.parametrize("content", [b"", b"url,text\n", b"\x1f\x8b" + bytes(600), jpeg(), bytes(100)])
def test_what_is_neither_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ShardError, match="x is neither a Parquet file nor a tar"):
        detect_format(str(tmp_path / "x"))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="cannot be read"):
        detect_format(str(tmp_path / "x"))


def test_a_footer(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"url": ["a"] * 5, "n": pa.array(range(5))}, row_group_size=2)
    schema, rows = parquet_footer(str(path))
    assert (schema.names, rows) == (["url", "n"], [2, 2, 1])


@pytest.mark.parametrize("cut", [4, 40, -1, -8])
def test_a_damaged_footer_is_an_error_in_one_line(tmp_path: Path, cut: int) -> None:
    path = write_parquet(tmp_path / "a.parquet", urls(20))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ShardError, match="not a readable Parquet file") as caught:
        parquet_footer(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "unit_rows", "ranges"),
    [
        ([5], 10, [(0, 5, 0, 0)]),
        ([5], 5, [(0, 5, 0, 0)]),
        ([5], 2, [(0, 2, 0, 0), (2, 2, 0, 0), (4, 1, 0, 0)]),
        ([3, 3, 1], 2, [(0, 2, 0, 0), (2, 1, 0, 0), (3, 2, 1, 3), (5, 1, 1, 3), (6, 1, 2, 6)]),
        ([3, 3], 100, [(0, 3, 0, 0), (3, 3, 1, 3)]),
        ([], 10, []),
    ],
)
def test_a_parquet_file_is_planned_by_row_group(
    tmp_path: Path, groups: list[int], unit_rows: int, ranges: list[tuple[int, int, int, int]]
) -> None:
    count = sum(groups)
    path = str(
        write_parquet(tmp_path / "a.parquet", {"url": pa.array(["u"] * count, pa.string())}, max(groups, default=1))
    )
    units = list(plan_units(Shard(path, 4), unit_rows))
    assert [(unit.start, unit.rows, unit.row_group, unit.row_group_start) for unit in units] == ranges
    assert {(unit.path, unit.shard_number, unit.format, unit.shard_rows) for unit in units} <= {
        (path, 4, PARQUET, count)
    }
    assert [unit.name for unit in units] == [f"{path}[{start}:{start + rows}]" for start, rows, _, _ in ranges]


def test_empty_row_groups_make_no_units(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = str(tmp_path / "a.parquet")
    with pq.ParquetWriter(path, pa.schema([("url", pa.string())])) as writer:
        for rows in (0, 2, 0, 1):
            writer.write_table(pa.table({"url": pa.array(["u"] * rows, pa.string())}))
    units = list(plan_units(Shard(path, 0), 10))
    assert [(unit.start, unit.rows) for unit in units] == [(0, 2), (2, 1)]


def test_a_tar_is_one_unit(tmp_path: Path) -> None:
    path = str(write_tar(tmp_path / "a.tar", pictures(5)))
    assert list(plan_units(Shard(path, 1), 2)) == [Unit(path, 1, TAR)]
    assert Unit(path, 1, TAR).name == f"{path}[0:]"


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"text"])
def test_a_malformed_shard_is_one_unit_of_one_row(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    (unit,) = plan_units(Shard(str(path), 2), 10)
    assert (unit.format, unit.rows, unit.shard_number) == (MALFORMED, 1, 2)


def test_units_do_not_depend_on_the_number_of_the_shard(tmp_path: Path) -> None:
    path = str(write_parquet(tmp_path / "a.parquet", urls(5)))
    first, second = (list(plan_units(Shard(path, number), 2)) for number in (0, 9))
    assert [unit.id for unit in first] == [unit.id for unit in second]
    assert len({unit.id for unit in first}) == 3
    assert first[0].id == unit_id(first[0].name)


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


def test_a_limit_opens_no_further_shard(tmp_path: Path) -> None:
    def units():
        yield Unit("a", 0, PARQUET, 0, 5)
        raise AssertionError("planned a shard beyond the limit")

    assert [unit.rows for unit in limit_units(units(), 5)] == [5]


def test_a_damaged_tar_does_not_break_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(pictures(3))[:300])
    (unit,) = plan_units(Shard(str(tmp_path / "a.tar"), 0), 10)
    assert [unit.limit for unit in limit_units([unit], 10)] == [1]  # its one row is a rejection
