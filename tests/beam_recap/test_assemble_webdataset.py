"""The tar of an output shard, made from the checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gcs_server import GcsServer
from support.pictures import draw_photo

from beam_recap import checkpoint, files
from beam_recap.assemble import OutputShard, assemble, delete_stale, plan_output_shards
from beam_recap.caption_mix import CaptionMix
from beam_recap.checkpoint_pictures import PictureError
from beam_recap.images import encode_image
from beam_recap.inputs.units import UnitCount
from beam_recap.names import SCHEMAS
from beam_recap.records import Outcome, Reason, Sample, Stage
from beam_recap.schemas import Provenance, kept_columns, rejected_columns
from beam_recap.slices import Slice

PROVENANCE = Provenance(None, None, None, None, "f00d")
JPEG = encode_image(np.asarray(draw_photo(30, 20)))
UNITS = [UnitCount(0, 0, "/in/a.tar", 5), UnitCount(1, 0, "/in/b.tar", 5)]


def sample(unit: UnitCount, index: int, **values: Any) -> Sample:
    given = {"caption": f"old {index}", "recaption": f"new {index}", "image_bytes": JPEG + bytes([index]), **values}
    place = {"unit": unit.name, "index": index}
    return Sample(**place, uid=f"{unit.shard_number}-{index}", key=f"{index:09d}", width=60, height=40, **given)


def write(output: str, **values: Any) -> OutputShard:
    """Two units of five rows, of which the odd ones are rejected."""
    outcomes: list[Outcome] = []
    for unit in UNITS:
        for index in (4, 3, 0, 2, 1):
            row = sample(unit, index, **values)
            outcomes.append(row if index % 2 == 0 else row.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE))
    checkpoint.write_outcomes(output, 1, outcomes[:3])
    checkpoint.write_outcomes(output, 1, outcomes[3:])
    (shard,) = plan_output_shards(UNITS, 100)
    return shard


def run(output: str, shard: OutputShard, schema: str = "recap", mix: CaptionMix | None = None, **settings: Any) -> Any:
    columns = (kept_columns(schema, True, PROVENANCE, mix), rejected_columns(False))
    return assemble(output, shard, *columns, webdataset=True, mix=mix, **settings).stats


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_kept_rows_in_the_inputs_order(tmp_path: Path) -> None:
    shard = write(str(tmp_path))
    stats = run(str(tmp_path), shard)
    data = (tmp_path / "webdataset/train-00000-of-00001.tar").read_bytes()
    assert stats.files[-1].name == shard.webdataset_name == "webdataset/train-00000-of-00001.tar"
    assert (stats.files[-1].rows, stats.files[-1].file_bytes, stats.files[-1].sha256) == (
        stats.kept,
        len(data),
        hashlib.sha256(data).hexdigest(),
    )
    read = members(data)
    keys = ["000000000", "000000002", "000000004", "row-00000000000003", "row-00000000000004", "row-00000000000005"]
    assert list(read) == [f"{key}.{suffix}" for key in keys for suffix in ("jpg", "json", "txt")]
    described = [json.loads(read[f"{key}.json"]) for key in keys]
    assert [row["uid"] for row in described] == ["0-0", "0-2", "0-4", "1-0", "1-2", "1-4"]
    assert [read[f"{key}.jpg"][-1] for key in keys] == [0, 2, 4, 0, 2, 4]
    assert [read[f"{key}.txt"] for key in keys] == [b"new 0", b"new 2", b"new 4"] * 2
    assert described[0].items() >= {"width": 30, "height": 20, "original_width": 60, "original_height": 40}.items()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_column_of_a_schema_is_lost(tmp_path: Path, schema: str) -> None:
    write(str(tmp_path), source_width=640, source_height=480, clip_score=math.nan)
    mix = CaptionMix(1.0)
    (shard,) = plan_output_shards(UNITS, 100)
    run(str(tmp_path), shard, schema, mix)
    described = json.loads(members((tmp_path / shard.webdataset_name).read_bytes())["000000000.json"])
    renamed = {"key": "source_key", "caption": "org_caption", "width": "source_width", "height": "source_height"}
    columns = kept_columns(schema, True, PROVENANCE, mix)
    row = sample(UNITS[0], 0, source_width=640, source_height=480, clip_score=None)
    place = {"source_key": "000000000", "org_caption": "old 0", "source_width": 640.0, "source_height": 480.0}
    for column in columns:
        name = renamed.get(column.name, column.name)
        assert described[name] == place.get(name, column.value(row)), name
    assert (described["caption"], described["caption_source"], described["mixed_caption"]) == (
        "old 0",
        "original",
        "old 0",
    )


def test_a_picture_that_is_missing_ends_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    shard = write(str(tmp_path), image_bytes=None)
    with pytest.raises(PictureError):
        run(str(tmp_path), shard)
    assert not [path for path in tmp_path.rglob("*train-*") if path.is_file()]


def test_without_the_flag_nothing_of_it(tmp_path: Path) -> None:
    shard = write(str(tmp_path))
    columns = (kept_columns("recap", True, PROVENANCE), rejected_columns(False))
    stats = assemble(str(tmp_path), shard, *columns).stats
    assert len(stats.files) == 2
    assert not (tmp_path / "webdataset").exists()


def test_in_an_object_store(gcs: GcsServer, tmp_path: Path) -> None:
    gcs.buckets.add("bucket")
    output = "gs://bucket/out"
    stats = run(output, write(output))
    run(str(tmp_path), write(str(tmp_path)))
    data = files.read_bytes(f"{output}/webdataset/train-00000-of-00001.tar")
    assert data == (tmp_path / "webdataset/train-00000-of-00001.tar").read_bytes()
    assert stats.files[-1].sha256 == hashlib.sha256(data).hexdigest()


def test_stale_tars_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "webdataset"
    folder.mkdir()
    part = Slice(1, 2)
    sliced = OutputShard(0, 1, (), part).webdataset_name
    for name in ("webdataset/train-00000-of-00001.tar", "webdataset/train-00007-of-00008.tar", sliced):
        (tmp_path / name).write_bytes(b"")
    shards = plan_output_shards(UNITS, 100)
    delete_stale(str(tmp_path), plan_output_shards(UNITS, 100, part), part)
    assert len(list(folder.iterdir())) == 2
    delete_stale(str(tmp_path), shards)
    assert list(folder.iterdir()) == []
