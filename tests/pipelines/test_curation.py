"""Whole runs with duplicates, clusters and further models: what only the dataset as a whole tells."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.recap_runs import assert_accounts, final_bytes, kept, rejected, run_command, run_here, summary
from support.shards import write_tar

from beam_recap.clusters import model_folder
from beam_recap.demo import paths
from beam_recap.duplicates.engine import find_duplicates
from beam_recap.duplicates.rows import DuplicateRow, Place
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.images import DecodedImage, decode_image
from beam_recap.names import SCHEMAS

# Only scores: nothing is filtered but by what is under test.
PLAIN = ("--preset=text-debiased", "--min_clip_score=none", "--min_aesthetic_score=none", "--ocr=none", "--device=cpu")


def demo_rows(count: int) -> list[dict[str, bytes]]:
    """Pictures of the demonstration with their captions, without the ones that are broken on purpose."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(paths.SHARD) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            found.setdefault(key, {})[suffix] = tar.extractfile(member).read()  # type: ignore[union-attr]
    rows = [{name: data for name, data in row.items() if name in ("jpg", "txt")} for row in found.values()]
    whole = [row for row in rows if "txt" in row and isinstance(decode_image(row.get("jpg", b"")), DecodedImage)]
    return whole[:count]


def write_shards(folder: Path, rows: Sequence[dict[str, bytes]], sizes: Sequence[int]) -> str:
    folder.mkdir()
    start = 0
    for number, size in enumerate(sizes):
        part = [{"__key__": f"{start + i:05d}", **row} for i, row in enumerate(rows[start : start + size])]
        write_tar(folder / f"{number:05d}.tar", part)
        start += size
    assert start == len(rows)
    return str(folder / "*.tar")


def with_copies() -> list[dict[str, bytes]]:
    """30 rows: 20 different ones, two of them again, one picture under 6 captions, one caption over 3 pictures."""
    rows = demo_rows(20)
    placeholder = [{**rows[3], "txt": f"another caption {i}".encode()} for i in range(5)]
    spam = [{**rows[10 + i], "txt": b"Buy  NOW" if i % 2 else b"buy now"} for i in range(3)]
    return [*rows, rows[0], rows[7], *placeholder, *spam]


def decisions(output: Path) -> dict[str, str]:
    """Reasons by key."""
    return {row["key"]: row["reason"] for row in rejected(output) if row["stage"] == "curate"}


def test_exact_duplicates_placeholders_and_spam(tmp_path: Path) -> None:
    rows = with_copies()
    source = write_shards(tmp_path / "in", rows, [30])
    flags = (*PLAIN, "--near_duplicate_similarity=none", f"--input={source}")
    plain = tmp_path / "plain"
    assert run_here(*flags, f"--output={plain}") == 0
    assert_accounts(plain, 30)
    found = decisions(plain)
    # Of the pictures of placeholders and spam the best caption stays.
    assert sorted(found.values()) == ["duplicate_image"] * 10  # rows of a tar have no URL
    gone = {row["uid"] for row in rejected(plain) if row["sha256"] is None}
    for row in rejected(plain):
        named = row["detail"].removeprefix("the same image bytes as ").partition(",")[0]
        assert re.fullmatch("[0-9a-f]{32}", named) and named not in gone
    # The same directory, other rules: nothing is fetched or scored again.
    again = (*flags, f"--output={plain}", "--max_same_image=4", "--max_same_caption=2")
    assert run_here(*again) == 0
    assert summary(plain)["timings"]["attempt"] == 2
    found = decisions(plain)
    assert {key for key, reason in found.items() if reason == "placeholder_image"} == {
        "00003", *(f"{22 + i:05d}" for i in range(5))
    }  # fmt: skip
    assert {key for key, reason in found.items() if reason == "spam_caption"} == {f"{27 + i:05d}" for i in range(3)}
    assert_accounts(plain, 30)


def test_any_order_shards_and_units_keep_the_same(tmp_path: Path) -> None:
    """Rows are named by their bytes: their places differ between the runs."""
    rows = with_copies()
    orders = [(rows, [30], "2000"), (rows[::-1], [11, 19], "2000"), (rows[7:] + rows[:7], [3, 9, 18], "2000")]
    outcomes = []
    for number, (order, sizes, unit_rows) in enumerate(orders):
        source = write_shards(tmp_path / f"in{number}", order, sizes)
        output = tmp_path / f"out{number}"
        flags = (f"--input={source}", f"--output={output}", f"--unit_rows={unit_rows}", "--max_same_caption=2")
        assert run_here(*PLAIN, *flags, "--near_duplicate_similarity=0.5", "--extra_columns=true") == 0
        went = sorted((row["sha256"], row["caption"], row["reason"]) for row in rejected(output))
        assert all(row["stage"] == "curate" for row in rejected(output))
        stayed = sorted((row["sha256"], row["TEXT"]) for row in kept(output).to_pylist())
        outcomes.append((went, stayed))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert {"near_duplicate_image", "spam_caption"} < {reason for _, _, reason in outcomes[0][0]}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A run, clusters that were fitted to it, and the run again with their labels."""
    folder = tmp_path_factory.mktemp("labelled")
    source = write_shards(folder / "in", demo_rows(60), [25, 35])
    output, clusters = folder / "out", folder / "clusters"
    flags = (*PLAIN, f"--input={source}", f"--output={output}", "--save_embeddings=true", "--rows_per_file=20")
    assert run_here(*flags, "--near_duplicate_similarity=none") == 0
    from pipelines.cluster import main

    small = ("--clusters=4", "--pca_dimensions=8", "--min_points=1", "--iterations=10", "--redo=1")
    assert main([f"--input={output}", f"--output={clusters}", *small]) == 0
    assert run_here(*flags, "--near_duplicate_similarity=0.9", f"--clusters={clusters}") == 0
    return output, clusters, source


def test_rows_get_the_labels_of_their_embeddings(labelled: tuple[Path, Path, str]) -> None:
    output, clusters, _ = labelled
    model = model_folder.load(str(clusters))
    tables = sorted((output / "data").iterdir())
    assert len(tables) == 2
    labels = []
    for table in tables:
        embeddings = np.load(output / "embeddings" / f"{table.stem}.npy")
        column = pq.read_table(table)["kmeans"]
        assert (embeddings.dtype, column.type) == (np.float16, pa.int64())
        assert column.to_pylist() == model.assign(embeddings).tolist()
        labels += column.to_pylist()
    assert len(set(labels)) > 1
    listed = {file["name"]: file["rows"] for file in summary(output)["files"]}
    assert listed[f"embeddings/{tables[0].stem}.npy"] == pq.read_metadata(tables[0]).num_rows


def test_near_duplicates_are_those_of_the_engine(labelled: tuple[Path, Path, str], tmp_path: Path) -> None:
    """The rules called by hand on every row of the run, and what the run did."""
    output, clusters, source = labelled
    everything = tmp_path / "everything"
    flags = (*PLAIN, f"--input={source}", f"--output={everything}", "--save_embeddings=true", "--extra_columns=true")
    off = ("--near_duplicate_similarity=none", "--drop_duplicate_rows=false", "--drop_duplicate_images=false")
    assert run_here(*flags, *off) == 0
    table = kept(everything).to_pylist()
    embeddings = np.concatenate([np.load(path) for path in sorted((everything / "embeddings").iterdir())])
    labels = model_folder.load(str(clusters)).assign(embeddings)
    rows = [
        DuplicateRow(
            place=Place(row["source_unit"], row["source_index"]),
            uid=row["uid"],
            similarity=row["similarity"],
            aesthetic=row["ase_scores"],
            cluster=int(label),
            embedding=embedding.tobytes(),
        )
        for row, label, embedding in zip(table, labels, embeddings, strict=True)
    ]
    uids = {row.place: row.uid for row in rows}
    expected = {
        uids[decision.place]: decision.detail for decision in find_duplicates(rows, DuplicateSettings(similarity=0.9))
    }
    assert expected
    got = {row["uid"]: row["detail"] for row in rejected(output) if row["reason"] == "near_duplicate_image"}
    assert got == expected
    assert len(kept(output)) == len(table) - len(expected)


@pytest.mark.slow
def test_two_processes_and_a_second_attempt_write_the_same(labelled: tuple[Path, Path, str], tmp_path: Path) -> None:
    output, clusters, source = labelled
    other = tmp_path / "other"
    flags = (*PLAIN, f"--input={source}", f"--output={other}", "--save_embeddings=true", "--rows_per_file=20")
    flags += ("--near_duplicate_similarity=0.9", f"--clusters={clusters}")
    two = run_command(*flags, "--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert two.returncode == 0, two.stderr
    assert final_bytes(other) == final_bytes(output)
    for path in sorted((output / "embeddings").iterdir()):
        assert (other / "embeddings" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_any_order_of_filters_keeps_the_same(tmp_path: Path) -> None:
    """With a model of its own the head needs no other filter before it: all six orders."""
    source = write_shards(tmp_path / "in", demo_rows(16), [16])
    outcomes = {}
    for number, order in enumerate(itertools.permutations(("clip", "aesthetic", "ocr"))):
        output = tmp_path / f"out{number}"
        flags = (f"--input={source}", f"--output={output}", f"--filter_order={','.join(order)}", "--device=cpu")
        models = ("--aesthetic_clip_model=demo", "--near_duplicate_similarity=none")
        assert run_here("--preset=text-debiased", *flags, *models) == 0
        filters = summary(output)["filters"]
        assert filters["order"] == list(order)
        assert filters["cheapest_ms_per_row"] <= filters["ms_per_row"]
        stages = {stage["stage"]: stage for stage in summary(output)["counts"]["by_stage"]}
        assert all(stages[name]["seconds"] > 0 and stages[name]["ms_per_row"] > 0 for name in order)
        outcomes[order] = (kept(output).to_pylist(), sorted(row["key"] for row in rejected(output)))
    first = next(iter(outcomes.values()))
    assert first[0] and first[1]
    assert all(outcome == first for outcome in outcomes.values())


SEED = pa.schema(
    [
        ("SAMPLE_ID", pa.int64()),
        ("URL", pa.string()),
        ("TEXT", pa.string()),
        ("HEIGHT", pa.float64()),
        ("WIDTH", pa.float64()),
        ("LICENSE", pa.string()),
        ("NSFW", pa.string()),
        ("similarity", pa.float64()),
        ("ase_scores", pa.float64()),
        ("kmeans", pa.int64()),
        ("__index_level_0__", pa.int64()),
    ]
)


def test_the_output_goes_with_a_file_of_the_published_dataset(
    labelled: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _, _ = labelled
    theirs = tmp_path / "train-00000-of-00058.parquet"
    row = {"SAMPLE_ID": 1, "URL": "u", "TEXT": "t", "HEIGHT": 1.0, "WIDTH": 2.0, "LICENSE": "?", "NSFW": "UNLIKELY",
           "similarity": 0.31, "ase_scores": 4.6, "kmeans": 3999, "__index_level_0__": 7}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row], schema=SEED), theirs)
    ours = kept(output)
    assert ours.schema.equals(SEED)
    both = pa.concat_tables([ours, pq.read_table(theirs)])  # it never casts
    assert both.num_rows == ours.num_rows + 1

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    files = [str(path) for path in sorted((output / "data").iterdir())]
    cache = str(tmp_path / "cache")
    read = [
        datasets.load_dataset("parquet", data_files=f, split="train", cache_dir=cache) for f in (files, [str(theirs)])
    ]
    assert read[0].features == read[1].features
    assert datasets.concatenate_datasets(read).num_rows == both.num_rows


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_is_written_from_the_same_checkpoint(
    labelled: tuple[Path, Path, str], tmp_path: Path, schema: str
) -> None:
    output, clusters, source = labelled
    flags = (*PLAIN, f"--input={source}", f"--output={output}", "--save_embeddings=true", "--rows_per_file=20")
    assert run_here(*flags, f"--clusters={clusters}", "--near_duplicate_similarity=0.9", f"--schema={schema}") == 0
    schemas = {pq.read_schema(path).to_string(show_schema_metadata=False) for path in (output / "data").iterdir()}
    assert len(schemas) == 1
    card = (output / "README.md").read_text()
    assert f"- name: {pq.read_schema(next((output / 'data').iterdir())).names[0]}" in card
    config = json.loads((output / "summary.json").read_text())["config"]
    assert config["schema"] == schema


@pytest.mark.slow
def test_clusters_that_do_not_fit_are_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "centroids.npy", np.zeros((3, 8), np.float32))
    source = write_shards(tmp_path / "in", demo_rows(2), [2])
    for folder, message in (
        (tmp_path, "is of embeddings of 8 numbers, and --clip_model's have 64"),
        (tmp_path / "x", ""),
    ):
        finished = run_command(*PLAIN, f"--input={source}", f"--output={tmp_path / 'out'}", f"--clusters={folder}")
        assert finished.returncode == 2
        assert f"--clusters={folder}: " in finished.stderr and message in finished.stderr
        assert not (tmp_path / "out").exists()
