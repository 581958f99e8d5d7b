from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from beam_recap import assemble as assemble_module
from beam_recap import checkpoint
from beam_recap.assemble import AccountingError, FileStats, OutputShard, assemble, delete_stale, plan_output_shards
from beam_recap.inputs.units import UnitCount
from beam_recap.records import Outcome, Reason, Sample, Stage
from beam_recap.schemas import Provenance, kept_columns, rejected_columns, schema_of

COLUMNS = (kept_columns("recap", True, Provenance(None, None, None, None, "f00d")), rejected_columns(False))


def unit(shard: int, start: int, rows: int = 4) -> UnitCount:
    return UnitCount(shard, start, f"/in/{shard}.parquet[{start}:{start + rows}]", rows)


def outcome(of: UnitCount, index: int) -> Outcome:
    """Even rows are kept, odd ones rejected by one of two reasons."""
    row = of.start + index
    sample = Sample(unit=of.name, index=index, uid=f"{of.shard_number}-{row}", key=f"{row:09d}", source_row=row)
    if index % 2 == 0:
        return sample
    if index % 4 == 1:
        return sample.reject(Stage.FETCH, Reason.TIMEOUT, "slow")
    return sample.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE)


def write(output: Path, units: list[UnitCount], *, missing: int = 0, seed: int = 0) -> None:
    """Outcomes in any order, in files of any size."""
    rows = [outcome(of, index) for of in units for index in range(of.rows)]
    rng = random.Random(seed)
    rng.shuffle(rows)
    rows = rows[missing:]
    while rows:
        count = rng.randint(1, 5)
        checkpoint.write_outcomes(str(output), 1, rows[:count])
        rows = rows[count:]


def final_files(output: Path) -> list[str]:
    found = (str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("_checkpoint/"))


@pytest.mark.parametrize(
    ("rows", "rows_per_file", "groups"),
    [
        ([4, 4, 4], 100, [[4, 4, 4]]),
        ([4, 4, 4], 4, [[4], [4], [4]]),
        ([4, 4, 4], 5, [[4, 4], [4]]),
        ([4, 4, 4], 1, [[4], [4], [4]]),
        ([0, 0, 4], 4, [[0, 0, 4]]),
        ([9, 1, 1], 3, [[9], [1, 1]]),
        ([], 10, [[]]),
    ],
)
def test_units_share_output_shards_by_their_rows(rows: list[int], rows_per_file: int, groups: list[list[int]]) -> None:
    units = [UnitCount(number, 0, f"u{number}", count) for number, count in enumerate(rows)]
    shards = plan_output_shards(units, rows_per_file)
    assert [[of.rows for of in shard.units] for shard in shards] == groups
    assert [(shard.number, shard.total) for shard in shards] == [(n, len(groups)) for n in range(len(groups))]


def test_the_plan_depends_on_the_input_only() -> None:
    units = [unit(1, 0), unit(1, 4), unit(2, 0), unit(10, 0), unit(10, 4)]
    plan = plan_output_shards(units, 8)
    assert [of for shard in plan for of in shard.units] == units
    for seed in range(20):
        shuffled = units + random.Random(seed).choices(units, k=3)  # a retried bundle counts a unit twice
        random.Random(seed).shuffle(shuffled)
        assert plan_output_shards(iter(shuffled), 8) == plan


def test_names_of_files() -> None:
    shard = OutputShard(3, 12, ())
    assert shard.kept_name == "data/train-00003-of-00012.parquet"
    assert shard.rejected_name == "rejected/part-00003-of-00012.parquet"


def test_rows_come_in_the_inputs_order(tmp_path: Path) -> None:
    units = [unit(0, 0), unit(0, 4), unit(1, 0, 3)]
    write(tmp_path, units)
    (shard,) = plan_output_shards(units, 100)
    stats, _, _ = assemble(str(tmp_path), shard, *COLUMNS)
    kept = pq.read_table(tmp_path / shard.kept_name)
    rejected = pq.read_table(tmp_path / shard.rejected_name)
    assert kept.schema.equals(schema_of(COLUMNS[0])) and rejected.schema.equals(schema_of(COLUMNS[1]))
    assert kept.column("uid").to_pylist() == ["0-0", "0-2", "0-4", "0-6", "1-0", "1-2"]
    assert rejected.column("uid").to_pylist() == ["0-1", "0-3", "0-5", "0-7", "1-1"]
    assert rejected.column("detail").to_pylist() == ["slow", "", "slow", "", "slow"]
    assert (stats.rows, stats.kept) == (11, 6)
    assert stats.rejected == Counter({("fetch", "timeout"): 3, ("clip", "low_clip_score"): 2})
    assert stats.rows == stats.kept + stats.rejected.total()


def test_downloads_are_counted_by_host(tmp_path: Path) -> None:
    place = unit(0, 0, 7)

    def row(index: int, url: str | None, status: int | None) -> Sample:
        return Sample(unit=place.name, index=index, uid=str(index), key=str(index), url=url, http_status=status)

    outcomes: list[Outcome] = [
        row(0, "http://a.example/0", 200),
        row(1, "http://A.example:80/1", 200).reject(Stage.CLIP, Reason.LOW_CLIP_SCORE),
        row(2, "http://a.example/2", 404).reject(Stage.FETCH, Reason.HTTP_404),
        row(3, "http://b.example/3", None).reject(Stage.FETCH, Reason.DNS),
        row(4, "nonsense", None).reject(Stage.FETCH, Reason.INVALID_URL),
        row(5, None, None).reject(Stage.READ, Reason.MISSING_URL),
        row(6, "http://c.example/6", None),  # its bytes came with it
    ]
    checkpoint.write_outcomes(str(tmp_path), 1, outcomes)
    checkpoint.write_outcomes(str(tmp_path), 1, outcomes[2:4])  # a retried bundle
    (shard,) = plan_output_shards([place], 100)
    stats, hosts, _ = assemble(str(tmp_path), shard, *COLUMNS)
    assert hosts == {
        "a.example": {"fetched": 2, "http_404": 1},
        "b.example": {"dns": 1},
        "(no host)": {"invalid_url": 1},
    }
    assert (stats.downloads.rows, stats.downloads.fetched) == (5, 2)
    assert stats.downloads.by_http_status == Counter({200: 2, 404: 1, None: 2})
    assert stats.downloads.by_reason == Counter({"http_404": 1, "dns": 1, "invalid_url": 1})


def test_files_do_not_depend_on_the_order_of_the_outcomes(tmp_path: Path) -> None:
    units = [unit(0, 0, 9), unit(0, 9, 9)]
    contents = set()
    for seed in range(4):
        write(tmp_path / str(seed), units, seed=seed)
        (shard,) = plan_output_shards(units, 100)
        stats, _, _ = assemble(str(tmp_path / str(seed)), shard, *COLUMNS)
        contents.add(tuple((tmp_path / str(seed) / file.name).read_bytes() for file in stats.files))
    assert len(contents) == 1


@pytest.mark.parametrize("row_group_rows", [2, 10_000])
def test_statistics_are_those_of_the_files(
    tmp_path: Path, row_group_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble_module, "_ROW_GROUP_ROWS", row_group_rows)
    units = [unit(0, 0, 9)]
    write(tmp_path, units)
    (shard,) = plan_output_shards(units, 100)
    stats, _, _ = assemble(str(tmp_path), shard, *COLUMNS)
    for file, rows in zip(stats.files, (5, 4), strict=True):
        content = (tmp_path / file.name).read_bytes()
        table = pq.read_table(tmp_path / file.name)
        assert (file.rows, table.num_rows) == (rows, rows)
        assert file.file_bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.arrow_bytes > 0
        assert pq.read_metadata(tmp_path / file.name).num_row_groups == -(-rows // row_group_rows)


@pytest.mark.parametrize("units", [[], [unit(0, 0, 0)]], ids=["no unit", "empty unit"])
def test_an_empty_result_is_still_a_dataset(tmp_path: Path, units: list[UnitCount]) -> None:
    (shard,) = plan_output_shards(units, 100)
    stats, _, _ = assemble(str(tmp_path), shard, *COLUMNS)
    assert (stats.rows, stats.kept, stats.rejected.total()) == (0, 0, 0)
    assert pq.read_table(tmp_path / shard.kept_name).schema.equals(schema_of(COLUMNS[0]))
    assert pq.read_table(tmp_path / shard.rejected_name).num_rows == 0


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("row_group_rows", [1, 10_000])
def test_a_row_without_an_outcome_publishes_nothing(
    tmp_path: Path, row_group_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble_module, "_ROW_GROUP_ROWS", row_group_rows)
    units = [unit(0, 0), unit(0, 4)]
    write(tmp_path, units, missing=1)
    (shard,) = plan_output_shards(units, 100)
    with pytest.raises(AccountingError, match=r"has 4 rows but 3 outcomes"):
        assemble(str(tmp_path), shard, *COLUMNS)
    assert final_files(tmp_path) == []


def test_a_row_too_many_publishes_nothing(tmp_path: Path) -> None:
    write(tmp_path, [unit(0, 0, 4)])
    short = UnitCount(0, 0, unit(0, 0, 4).name, 3)
    with pytest.raises(AccountingError, match="has 3 rows but 4 outcomes"):
        assemble(str(tmp_path), OutputShard(0, 1, (short,)), *COLUMNS)
    assert final_files(tmp_path) == []


def test_outcomes_written_twice_count_once(tmp_path: Path) -> None:
    units = [unit(0, 0)]
    write(tmp_path, units)
    write(tmp_path, units, seed=1)
    (shard,) = plan_output_shards(units, 100)
    assert assemble(str(tmp_path), shard, *COLUMNS)[0].rows == 4


@pytest.mark.parametrize("name", ["out", "run[1]"])
def test_files_of_another_number_of_shards_are_removed(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    units = [unit(0, 0), unit(0, 4), unit(1, 0)]
    write(output, units)
    for shard in plan_output_shards(units, 4):
        assemble(str(output), shard, *COLUMNS)
    assert len(final_files(output)) == 6
    (output / "data" / "notes.txt").write_text("mine")
    plan = plan_output_shards(units, 100)
    delete_stale(str(output), plan)
    assert final_files(output) == ["data/notes.txt"]
    stats = [assemble(str(output), shard, *COLUMNS)[0] for shard in plan]
    delete_stale(str(output), plan)
    files: list[FileStats] = list(itertools.chain.from_iterable(one.files for one in stats))
    assert final_files(output) == ["data/notes.txt", *sorted(file.name for file in files)]
