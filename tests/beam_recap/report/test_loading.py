"""The output of a real run, opened by the tools that people open datasets with: exactly the kept rows, in order."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.recap_runs import kept, run_command, summary
from support.shards import write_parquet
from support.web_server import WebServer

from beam_recap import checkpoint
from beam_recap.demo import paths
from beam_recap.records import Sample

IMG2DATASET = "BEAM_RECAP_IMG2DATASET"  # names a Python that has img2dataset, whose pins are others than ours
_ROWS, _SHARD_ROWS = 64, 16


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    """The demonstration's pictures, on a server."""
    with tarfile.open(paths.SHARD) as tar:
        members = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        images = {
            f"/{name}": file.read() for name, file in members.items() if file and not name.endswith((".json", ".txt"))
        }
    with WebServer(images) as server:
        yield server


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, web: WebServer) -> Path:
    """The demonstration's models over those pictures, in four output shards."""
    folder = tmp_path_factory.mktemp("loading")
    with tarfile.open(paths.SHARD) as tar:
        texts = {
            member.name.split(".")[0]: tar.extractfile(member).read().decode()
            for member in tar.getmembers()
            if member.name.endswith(".txt")
        }
    rows = [(path, texts[path.strip("/").split(".")[0]]) for path in sorted(web.images)][:_ROWS]
    columns = {"url": [web.url(path) for path, _ in rows], "text": [text for _, text in rows]}
    write_parquet(folder / "in.parquet", columns, row_group_size=_SHARD_ROWS)
    flags = (
        "--preset=recap-debiased",
        "--allow_private_hosts=true",
        f"--unit_rows={_SHARD_ROWS}",
        f"--rows_per_file={_SHARD_ROWS}",
    )
    done = run_command(f"--input={folder}/in.parquet", f"--output={folder}/out", *flags)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def rows(output: Path) -> pa.Table:
    """The kept rows as pyarrow reads them file by file: those whose outcome, in the checkpoint, is a `Sample`."""
    table = kept(output)
    units = sorted((output / "_checkpoint/outcomes").iterdir())
    outcomes = [
        outcome for unit in units for file in unit.iterdir() for outcome in checkpoint.unpack(file.read_bytes())
    ]
    samples = sorted(
        (outcome for outcome in outcomes if isinstance(outcome, Sample)), key=lambda sample: sample.source_row
    )
    assert table["uid"].to_pylist() == [sample.uid for sample in samples]
    assert table["re_caption"].to_pylist() == [sample.recaption for sample in samples]
    assert len(list((output / "data").iterdir())) == 4
    assert table.num_rows == summary(output)["counts"]["kept"] > 16
    return table


def test_datasets(output: Path, rows: pa.Table, tmp_path: Path) -> None:
    from datasets import load_dataset

    loaded = load_dataset(str(output), cache_dir=str(tmp_path), verification_mode="all_checks")
    assert list(loaded) == ["train"]
    assert loaded["train"].features.arrow_schema.equals(rows.schema)
    assert loaded["train"].to_list() == rows.to_pylist()


def test_datasets_as_a_stream(output: Path, rows: pa.Table, tmp_path: Path) -> None:
    from datasets import load_dataset

    stream = load_dataset(str(output), split="train", streaming=True, cache_dir=str(tmp_path))
    assert stream.features.arrow_schema.equals(rows.schema)
    assert list(stream) == rows.to_pylist()


def test_pandas(output: Path, rows: pa.Table) -> None:
    import pandas

    exact = pandas.read_parquet(output / "data", dtype_backend="pyarrow")
    assert pa.Table.from_pandas(exact, preserve_index=False).replace_schema_metadata().equals(rows)
    plain = pandas.read_parquet(output / "data")
    assert list(plain.columns) == rows.column_names
    assert plain["re_caption"].tolist() == rows["re_caption"].to_pylist()
    assert plain["re_clip_score"].tolist() == rows["re_clip_score"].to_pylist()
    assert plain["re_gpt4v_score"].isna().all()


def test_polars(output: Path, rows: pa.Table) -> None:
    import polars

    read = polars.read_parquet(output / "data/*.parquet")
    assert read.to_dicts() == rows.to_pylist()
    assert polars.scan_parquet(output / "data/*.parquet").collect().equals(read)
    assert dict(read.schema) == dict(polars.from_arrow(rows).schema)


def test_duckdb(output: Path, rows: pa.Table) -> None:
    import duckdb

    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT * FROM '{output}/data/*.parquet'").to_arrow_table()
        count, mean = connection.sql(
            f"SELECT count(*), avg(re_length) FROM '{output}/data/*.parquet' WHERE similarity > 0.3"
        ).fetchone()
    assert found.cast(rows.schema).to_pylist() == rows.to_pylist()
    assert count == rows.num_rows
    assert mean == pytest.approx(sum(rows["re_length"].to_pylist()) / rows.num_rows)


def test_pyarrow_dataset(output: Path, rows: pa.Table) -> None:
    assert pq.read_table(output / "data").equals(rows)
    rejected = pq.read_table(output / "rejected")
    assert rejected.num_rows == summary(output)["counts"]["rejected"]


@pytest.mark.skipif(IMG2DATASET not in os.environ, reason=f"{IMG2DATASET} names no Python with img2dataset")
def test_img2dataset(output: Path, rows: pa.Table, tmp_path: Path, web: WebServer) -> None:
    """With the command that Recap-DataComp-1B's README gives, on a machine of ordinary size."""
    program = Path(os.environ[IMG2DATASET]).with_name("img2dataset")
    command = [
        str(program),
        f"--url_list={output}/data",
        "--input_format=parquet",
        "--url_col=url",
        "--caption_col=re_caption",
        "--output_format=webdataset",
        f"--output_folder={tmp_path}/pictures",
        "--processes_count=1",
        "--thread_count=4",
        '--save_additional_columns=["org_caption"]',
        "--enable_wandb=False",
    ]
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}  # it would ask the package index for a newer version
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((tmp_path / "pictures").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                key, _, kind = member.name.partition(".")
                found.setdefault(key, {})[kind] = tar.extractfile(member).read()
    assert len(found) == rows.num_rows
    told = {json.loads(files["json"])["url"]: (json.loads(files["json"]), files) for files in found.values()}
    for row in rows.to_pylist():
        facts, files = told[row["url"]]
        assert (facts["caption"], facts["org_caption"]) == (row["re_caption"], row["org_caption"])
        assert facts["status"] == "success"
        assert files["txt"].decode() == row["re_caption"]
        assert files["jpg"].startswith(b"\xff\xd8\xff")
