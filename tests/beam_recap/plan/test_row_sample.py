"""Which rows are drawn, and whether their copies are those rows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.shards import jpeg, write_parquet, write_table, write_tar

from beam_recap.inputs.tar_rows import read_tar_rows
from beam_recap.inputs.text_rows import read_text_rows
from beam_recap.inputs.units import Unit, match_shards
from beam_recap.plan.row_count import count_rows
from beam_recap.plan.row_sample import MOST_PLACES, RowSample, choose_rows
from beam_recap.plan.sample_files import write_sample


def sample_of(folder: Path, rows: int, seed: int = 0, max_rows: int | None = None) -> RowSample:
    return choose_rows(count_rows(match_shards([str(folder)]), seed=0, max_rows=max_rows).counted, rows, seed=seed)


def write_tables(folder: Path, files: int, rows: int, group: int) -> Path:
    for number in range(files):
        columns = {"url": [f"{number}/{row}" for row in range(rows)], "n": [number * rows + row for row in range(rows)]}
        write_parquet(folder / f"{number:03d}.parquet", columns, row_group_size=group)
    return folder


def numbers_of(sample: RowSample, rows: int) -> list[int]:
    """Rows by their number in the whole input, of files of so many rows each."""
    return [
        int(Path(place.unit.path).stem) * rows + place.unit.start + row for place in sample.places for row in place.rows
    ]


@pytest.mark.parametrize(
    ("files", "rows", "group", "wanted"), [(3, 100, 30, 60), (100, 40, 40, 200), (1, 5000, 500, 77)]
)
def test_so_many_different_rows(tmp_path: Path, files: int, rows: int, group: int, wanted: int) -> None:
    write_tables(tmp_path, files, rows, group)
    sample = sample_of(tmp_path, wanted)
    numbers = numbers_of(sample, rows)
    assert sample.rows == len(numbers) == len(set(numbers)) == wanted
    assert len(sample.places) <= MOST_PLACES
    assert numbers_of(sample_of(tmp_path, wanted), rows) == numbers
    assert numbers_of(sample_of(tmp_path, wanted, seed=1), rows) != numbers
    # Over the whole input: no quarter has less than half of its share.
    quarters = Counter(number * 4 // (files * rows) for number in numbers)
    assert min(quarters[quarter] for quarter in range(4)) > wanted / 8


def test_every_row_has_the_same_chance(tmp_path: Path) -> None:
    # Files and row groups of different sizes.
    write_parquet(tmp_path / "000.parquet", {"url": ["x"] * 30}, row_group_size=30)
    write_parquet(tmp_path / "001.parquet", {"url": ["x"] * 90}, row_group_size=20)
    counted = count_rows(match_shards([str(tmp_path)]), seed=0).counted
    drawn: Counter[tuple[str, int]] = Counter()
    for seed in range(1500):
        for place in choose_rows(counted, 12, seed=seed).places:
            drawn.update((Path(place.unit.path).stem, place.unit.start + row) for row in place.rows)
    counts = np.array([drawn[("000", row)] for row in range(30)] + [drawn[("001", row)] for row in range(90)])
    assert counts.sum() == 12 * 1500
    assert counts.min() > 100  # 150 each; a standard deviation is 12
    assert counts.max() < 200


def test_a_place_smaller_than_its_share_leaves_it_to_others(tmp_path: Path) -> None:
    write_tables(tmp_path, 1, 200, 3)
    assert sample_of(tmp_path, 150).rows == 150
    assert sample_of(tmp_path, 1000).rows == 200
    assert not sample_of(tmp_path, 1000).by_place


def test_rows_belong_together_where_not_all_places_are_opened(tmp_path: Path) -> None:
    write_tables(tmp_path, 100, 40, 40)
    assert sample_of(tmp_path, 200).by_place
    (tmp_path / "few").mkdir()
    write_tables(tmp_path / "few", 4, 40, 40)
    assert not sample_of(tmp_path / "few", 80).by_place


def test_only_the_first_rows_are_drawn_from(tmp_path: Path) -> None:
    write_tables(tmp_path, 3, 100, 30)
    numbers = numbers_of(sample_of(tmp_path, 60, max_rows=125), 100)
    assert len(numbers) == 60
    assert max(numbers) < 125


def test_copies_are_the_rows_that_were_drawn(tmp_path: Path) -> None:
    source, parts = tmp_path / "source", [tmp_path / "even", tmp_path / "odd"]
    for folder in (source, *parts):
        folder.mkdir()
    columns = {"url": [f"http://x/{row}" for row in range(50)], "text": [f'say "{row}",\nplease' for row in range(50)]}
    write_parquet(
        source / "a.parquet", {**columns, "vector": [[float(row)] * 3 for row in range(50)]}, row_group_size=9
    )
    for name in ("b.csv", "c.tsv.gz", "d.jsonl", "e.json", "f.txt"):
        write_table(source / name, columns)
    write_tar(
        source / "g.tar",
        [
            {"__key__": f"k{row}", "jpg": jpeg(40 + row), "json": json.dumps({"url": f"http://x/{row}"}).encode()}
            for row in range(50)
        ],
    )
    sample = sample_of(source, 210, seed=4)
    written = write_sample(sample.places, parts, lambda place, row: row % 2)
    assert sum(map(len, written.values())) == sample.rows == 210
    seen = 0
    for part, folder in enumerate(parts):
        for path in sorted(folder.iterdir()):
            rows = _urls(path)
            wanted = {
                place.unit.start + row
                for place in sample.places
                if place.number in set(written[str(path)])
                for row in place.rows
                if row % 2 == part
            }
            assert {int(url.rsplit("/", 1)[1]) for url in rows} == wanted, path
            assert len(rows) == len(written[str(path)])
            seen += len(rows)
    assert seen == 210
    table = pq.read_table(parts[0] / "00000.parquet")
    assert table.schema.names == ["url", "text", "vector"]
    for row in table.to_pylist():
        assert row["vector"][0] == float(row["url"].rsplit("/", 1)[1])


def _urls(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return pq.read_table(path)["url"].to_pylist()
    options = {"url_column": None, "caption_column": None, "done": set()}
    unit = Unit(str(path), 0, path.suffix[1:])
    outcomes = (
        read_tar_rows(unit, max_bytes=1 << 20, **options) if path.suffix == ".tar" else read_text_rows(unit, **options)
    )
    return [outcome.url for outcome in outcomes]


def test_a_damaged_tar_gives_what_comes_before(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [{"__key__": f"{row}", "jpg": jpeg()} for row in range(20)])
    sample = sample_of(tmp_path, 20)
    path.write_bytes(path.read_bytes()[:9000])
    (tmp_path / "out").mkdir()
    written = write_sample(sample.places, [tmp_path / "out"], lambda place, row: 0)
    assert 0 < sum(map(len, written.values())) < 20
