from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from support.shards import write_parquet, write_table, write_tar

from beam_recap import files
from beam_recap.inputs.formats import PARQUET, TAR, TXT, ShardError
from beam_recap.inputs.text_head import text_columns
from beam_recap.inputs.units import (
    MALFORMED,
    Shard,
    Unit,
    match_shards,
    parquet_footer,
    plan_units,
    shard_problem,
    unit_id,
    unit_size,
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
        (["c.tar", "*.parquet"], ["a.parquet", "b.parquet", "c.tar", "odd[1].parquet"]),
        (["b.parquet", "*.parquet"], ["a.parquet", "b.parquet", "odd[1].parquet"]),
        (["a.parquet", "a.parquet"], ["a.parquet"]),
        (["**/*.parquet"], ["a.parquet", "b.parquet", "odd[1].parquet", "sub/d.parquet"]),
        (["[ab].parquet"], ["a.parquet", "b.parquet"]),
        (["?.tar"], ["c.tar"]),
        (["odd[1].parquet"], ["odd[1].parquet"]),
    ],
)
def test_shards_are_each_file_once_numbered_in_order(folder: Path, patterns: list[str], names: list[str]) -> None:
    expected = [Shard(f"{folder}/{name}", number, len(names)) for number, name in enumerate(names)]
    assert match_shards([f"{folder}/{pattern}" for pattern in patterns]) == expected


@pytest.mark.parametrize("pattern", ["*.csv", "nothing.tar"])
def test_a_pattern_without_files_is_an_error(folder: Path, pattern: str) -> None:
    with pytest.raises(ShardError, match=f"{pattern.replace('*', '.')} matches no file"):
        match_shards([f"{folder}/a.parquet", f"{folder}/{pattern}"])


def test_a_file_system_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ShardError, match=r"nosuch://bucket/\*\.parquet cannot be listed"):
        match_shards(["nosuch://bucket/*.parquet"])


def test_unfinished_files_are_no_shards(folder: Path) -> None:
    (folder / ".tmp-0123-e.tar").touch()
    assert [shard.path for shard in match_shards([f"{folder}/*.tar"])] == [f"{folder}/c.tar"]


def test_a_folder_stands_for_the_shards_beneath_it(folder: Path) -> None:
    for name in (
        "z.csv.gz", "a.jsonl", "sub/_SUCCESS", "sub/.hidden/x.csv", "sub/x.png", "sub/_temporary/y.csv", "z/0.tar",
        "z/0.parquet", "z/0_stats.json", "z/1.parquet", ".tmp-1-x.csv", ".git/a.txt", "sub/README.md",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()
    names = [
        "a.jsonl", "a.parquet", "b.parquet", "c.tar", "odd[1].parquet", "sub/d.parquet", "z.csv.gz", "z/0.tar",
        "z/1.parquet",
    ]  # fmt: skip
    assert match_shards([str(folder)]) == match_shards([f"{folder}/"])
    assert [shard.path for shard in match_shards([str(folder)])] == [f"{folder}/{name}" for name in names]
    # The folder's own name decides nothing.
    hidden = folder.rename(folder.parent / ".odd[1]")
    assert [shard.path for shard in match_shards([str(hidden)])] == [f"{hidden}/{name}" for name in names]


def test_a_folder_without_shards_is_an_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ShardError, match="empty matches no file"):
        match_shards([f"{folder}/empty"])
    (folder / "empty/x.md").touch()
    with pytest.raises(ShardError, match="empty is a folder without shards"):
        match_shards([f"{folder}/empty"])


def test_a_folder_of_pictures_is_refused_with_the_way_to_read_them(folder: Path) -> None:
    pictures = folder / "my pictures"
    (pictures / "deep").mkdir(parents=True)
    (pictures / "deep/x.JPG").touch()
    with pytest.raises(ShardError, match="my pictures is a folder of pictures, without shards") as refused:
        match_shards([str(pictures)])
    assert f"write one with find '{pictures}' -type f > pictures.txt" in refused.value.remedy
    assert "--input=pictures.txt --allow_local_files=true" in refused.value.remedy
    # The list it tells to write is one that is read.
    (folder / "pictures.txt").write_text(subprocess.check_output(["find", str(pictures), "-type", "f"], text=True))
    assert text_columns(str(folder / "pictures.txt"), TXT, may_be_local=True) == ["url"]


def test_a_remote_folder_stands_for_the_shards_beneath_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = ["gs://b/d/", "gs://b/d/a.csv", "gs://b/d/e/", "gs://b/d/e/_SUCCESS", "gs://b/d/e/f.csv"]

    def match(pattern: str) -> list[str]:
        return [path for path in stored if path == pattern or (pattern == "gs://b/d/**" and path > "gs://b/d/")]

    monkeypatch.setattr(files, "match", match)
    for folder in ("gs://b/d", "gs://b/d/"):
        assert [shard.path for shard in match_shards([folder])] == ["gs://b/d/a.csv", "gs://b/d/e/f.csv"]


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


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.parquet", b"", "is empty"),
        ("x.parquet", b"PAR1 and no more", "is not a readable Parquet file"),
        ("x.parquet", b"text", "is neither"),
        ("x.csv", b"\n\n", "there is no header line"),
        ("x.csv", "url\n".encode("utf-16"), "is text in UTF-16"),
    ],
)
def test_a_malformed_shard_is_one_unit_of_one_row(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (unit,) = plan_units(Shard(str(path), 2), 10)
    assert (unit.format, unit.rows, unit.shard_number) == (MALFORMED, 1, 2)
    assert problem in (shard_problem(str(path)) or "")


def test_storage_that_fails_makes_a_malformed_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_table(tmp_path / "a.csv", urls(5)))
    assert shard_problem(path) is None
    real = files.open_read
    opened = []

    def open_once(path: str):
        opened.append(path)
        if len(opened) > 1:
            raise OSError("the disk is gone")
        return real(path)

    monkeypatch.setattr(files, "open_read", open_once)
    (unit,) = plan_units(Shard(path, 0), 10)
    assert unit.format == MALFORMED


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt", "jsonl"])
def test_lines_of_text_are_planned_by_offset(tmp_path: Path, kind: str) -> None:
    path = write_table(tmp_path / f"a.{kind}", {"url": [f"http://x/{number}" for number in range(5)]})
    data = path.read_bytes()
    units = list(plan_units(Shard(str(path), 4), 2))
    assert [(unit.start, unit.rows, unit.shard_rows, unit.format) for unit in units] == [
        (0, 2, 5, kind),
        (2, 2, 5, kind),
        (4, 1, 5, kind),
    ]
    assert [unit.name for unit in units] == [f"{path}[0:2]", f"{path}[2:4]", f"{path}[4:5]"]
    for unit in units:
        assert data[unit.offset :].splitlines()[0] in (
            f"http://x/{unit.start}".encode(), f'{{"url": "http://x/{unit.start}"}}'.encode()
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["json", "json.gz", "csv.gz", "tsv.gz", "txt.gz", "jsonl.gz"])
def test_a_stream_is_one_unit(tmp_path: Path, kind: str) -> None:
    path = str(write_table(tmp_path / f"a.{kind}", urls(5)))
    assert list(plan_units(Shard(path, 1), 2)) == [Unit(path, 1, kind)]


@pytest.mark.parametrize("content", [b"url,text\n", b"url", b"\xef\xbb\xbfurl\n\n\r\n"])
def test_a_table_without_rows_has_no_units(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert list(plan_units(Shard(str(tmp_path / "a.csv"), 0), 10)) == []


def test_units_do_not_depend_on_the_number_of_the_shard(tmp_path: Path) -> None:
    path = str(write_parquet(tmp_path / "a.parquet", urls(5)))
    first, second = (list(plan_units(Shard(path, number), 2)) for number in (0, 9))
    assert [unit.id for unit in first] == [unit.id for unit in second]
    assert len({unit.id for unit in first}) == 3
    assert first[0].id == unit_id(first[0].name)


def test_a_small_input_is_cut_finer() -> None:
    assert [unit_size(rows, 1) for rows in (0, 1, 96, 512, 513, 2000, 10_000, 127_000, 128_001, 10**9)] == [
        8, 8, 8, 8, 16, 32, 160, 1992, 2000, 2000,
    ]  # fmt: skip
    assert [unit_size(2000, shards) for shards in (1, 4, 64, 1000)] == [32, 128, 2000, 2000]


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 500, 3000, 130_000])
@pytest.mark.parametrize("shards", [1, 3])
def test_texts_are_cut_as_tables_are(tmp_path: Path, rows: int, shards: int) -> None:
    text = tmp_path / "a.csv"
    text.write_text("url\n" + "".join(f"http://x/{row}\n" for row in range(rows)))
    units = list(plan_units(Shard(str(text), 0, shards)))
    size = unit_size(rows, shards)
    assert [(unit.start, unit.rows, unit.number) for unit in units] == [
        (start, min(size, rows - start), number) for number, start in enumerate(range(0, rows, size))
    ]
    # Each begins where its first row does.
    data = text.read_bytes()
    assert all(data[unit.offset :].startswith(f"http://x/{unit.start}\n".encode()) for unit in units)
