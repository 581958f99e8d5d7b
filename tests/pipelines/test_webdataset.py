"""Tars of pictures beside the Parquet files, and mixed captions, in the whole job."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from support.chat_server import ChatRequest, ChatServer, completion
from support.pictures import draw_photo, encode
from support.recap_runs import assert_accounts, final_bytes, kept, run_here, summary
from support.shards import write_tar

from beam_recap.caption_mix import CaptionMix
from beam_recap.images import DecodeSettings, decode_image, encode_image
from beam_recap.records import Sample

ROWS, SHARDS, SIZE = 40, 3, 100
FLAGS = (
    "--preset=recap",
    "--clip_model=none",
    "--extra_columns=true",
    f"--rows_per_file={ROWS}",
    f"--image_size={SIZE}",
    "--caption_endpoint_model=tiny",
)
BOTH = "--output_format=parquet,webdataset"
# Keys that strangers give: the same in every tar, in folders, of any alphabet, as ours are made, too long.
ODD_KEYS = {3: "a/3", 4: "日本", 5: "row-00000000000005", 6: "x" * 99, 7: "000000008"}


@dataclasses.dataclass
class World:
    """Tars of 40 rows, the last with nothing usable, a server that captions, and a run over them."""

    folder: Path
    server: ChatServer
    pictures: dict[str, bytes]  # by sha256

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def run(self, output: Path, *flags: str) -> int:
        where = (f"--input={self.folder}/*.tar", f"--output={output}", f"--caption_endpoint={self.server.url}")
        return run_here(*where, *FLAGS, *flags)

    def copy(self, name: str) -> Path:
        return Path(shutil.copytree(self.output, self.folder / name))


def caption_of(request: ChatRequest) -> bytes:
    image = request.image
    assert image is not None
    return completion(f"A drawing of {image.shape[1]} x {image.shape[0]} px, {hashlib.md5(image).hexdigest()}.")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("webdataset")
    pictures = {}
    for shard in range(SHARDS):
        rows: list[dict[str, Any]] = []
        for row in range(ROWS):
            # PNGs, so that what the tars hold is no second generation.
            data = encode(draw_photo(60 + 3 * row, 50 + 2 * row + shard))
            pictures[hashlib.sha256(data).hexdigest()] = data
            if row % 10 == 9 or shard == SHARDS - 1:
                data = b"no picture"
            text = {} if row % 8 == 0 else {"txt": f"caption {shard} {row} “ä”".encode()}
            rows.append({"__key__": ODD_KEYS.get(row, f"{row:09d}"), "png": data, **text})
        write_tar(folder / f"{shard}.tar", rows, tar_format=2)
    with ChatServer(caption_of) as server:
        world = World(folder, server, pictures)
        assert world.run(world.output, BOTH, "--caption_mix=0.8") == 0
        yield world


def tars(output: Path) -> list[Path]:
    return sorted((output / "webdataset").iterdir())


def samples(tar: Path) -> list[dict[str, Any]]:
    # One without samples, alone, is an error otherwise.
    return list(webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False).decode("pil"))


def tar_bytes(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tars(output)}


def test_webdataset_reads_each_shard_row_by_row(world: World) -> None:
    assert_accounts(world.output, SHARDS * ROWS)
    tables = sorted((world.output / "data").iterdir())
    assert [path.stem for path in tars(world.output)] == [path.stem for path in tables]
    assert len(tables) == SHARDS
    counts = []
    for tar, path in zip(tars(world.output), tables, strict=True):
        rows, read = pq.read_table(path).to_pylist(), samples(tar)
        counts.append(len(read))
        assert [sample["json"]["sha256"] for sample in read] == [row["sha256"] for row in rows]
        assert [sample["txt"] for sample in read] == [row["mixed_caption"] or "" for row in rows]
        assert [sample["json"]["source_key"] for sample in read] == [row["key"] for row in rows]
        assert [sample["__key__"] for sample in read] == [sample["json"]["key"] for sample in read]
        assert len({sample["__key__"] for sample in read}) == len(read)
    assert counts == [36, 36, 0]


def test_all_shards_at_once(world: World) -> None:
    pattern = f"{world.output}/webdataset/train-{{00000..00002}}-of-00003.tar"
    read = list(webdataset.WebDataset(pattern, shardshuffle=False).decode("rgb8").to_tuple("jpg", "txt"))
    assert len(read) == kept(world.output).num_rows
    assert all(pixels.dtype == np.uint8 and pixels.shape[2] == 3 for pixels, _ in read)


def test_keys_are_the_rows_own_where_they_can_be(world: World) -> None:
    for number, tar in enumerate(tars(world.output)[:2]):
        keys = {sample["json"]["source_key"]: sample["__key__"] for sample in samples(tar)}
        assert keys["000000001"] == "000000001"
        assert keys["a/3"] == f"row-{number:05d}000000003"
        assert keys["日本"] == f"row-{number:05d}000000004"
        assert keys["row-00000000000005"] == f"row-{number:05d}000000005"
        assert keys["x" * 99] == f"row-{number:05d}000000006"
        again = [sample["__key__"] for sample in samples(tar) if sample["json"]["source_key"] == "000000008"]
        assert again == ["000000008", f"row-{number:05d}000000008"]


def test_the_json_is_the_row_under_img2datasets_names(world: World) -> None:
    rows = {row["sha256"]: row for row in kept(world.output).to_pylist()}
    for tar in tars(world.output):
        for sample in samples(tar):
            described, row = sample["json"], rows[sample["json"]["sha256"]]
            assert (described["width"], described["height"]) == sample["jpg"].size
            assert max(sample["jpg"].size) <= SIZE
            assert described["status"] == "success"
            assert described["caption"] == row["mixed_caption"]
            assert described["caption_source"] == row["mixed_caption_source"]
            shared = {name: value for name, value in row.items() if name != "key"}
            assert {name: described[name] for name in shared} == shared


def test_the_picture_is_what_the_run_saw_at_quality_95(world: World) -> None:
    read = webdataset.WebDataset(str(tars(world.output)[1]), shardshuffle=False)
    for sample in read:
        source = world.pictures[json.loads(sample["json"])["sha256"]]
        pixels = decode_image(source, DecodeSettings(image_size=SIZE)).image
        assert sample["jpg"] == encode_image(pixels, quality=95)


def test_captions_are_mixed_by_uid(world: World) -> None:
    mix = CaptionMix(0.8)
    sources = set()
    for row in kept(world.output).to_pylist():
        of_row = Sample(
            unit="", index=0, uid=row["uid"], key="", caption=row["org_caption"], recaption=row["re_caption"]
        )
        assert (row["mixed_caption"], row["mixed_caption_source"]) == mix.choose(of_row)
        sources.add((row["org_caption"] is None, row["mixed_caption_source"]))
    assert sources == {(False, "original"), (False, "new"), (True, "new")}


def test_the_summary_and_the_card_know_of_them(world: World) -> None:
    told = {file["name"]: file for file in summary(world.output)["files"]}
    for tar, path in zip(tars(world.output), sorted((world.output / "data").iterdir()), strict=True):
        data = tar.read_bytes()
        file = told[f"webdataset/{tar.name}"]
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert file["rows"] == told[f"data/{path.name}"]["rows"]
    card = (world.output / "README.md").read_text()
    assert "webdataset/train-00000-of-00003.tar" in card
    assert "The pictures are in `webdataset/`." in card
    assert "probability 0.8" in card


def test_load_dataset_gives_the_kept_rows_and_nothing_of_the_tars(world: World, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(world.output), cache_dir=str(tmp_path))
    assert list(loaded) == ["train"]
    assert loaded["train"].to_list() == kept(world.output).to_pylist()


def test_our_own_reader_takes_them(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    where = (f"--input={world.output}/webdataset", f"--output={tmp_path}/again")
    flags = ("--preset=recap", "--captioner=none", "--clip_model=none", "--extra_columns=true")
    assert run_here(*where, *flags, "--caption_column=caption") == 0
    assert not (tmp_path / "again/webdataset").exists()
    assert not list(tmp_path.rglob("*.pictures"))
    again, before = kept(tmp_path / "again").to_pylist(), kept(world.output).to_pylist()
    read = [sample for tar in tars(world.output) for sample in samples(tar)]
    assert [row["key"] for row in again] == [sample["__key__"] for sample in read]
    for name in ("uid", "url"):
        assert [row[name] for row in again] == [row[name] for row in before]
    assert [row["org_caption"] for row in again] == [row["mixed_caption"] for row in before]
    # Its checkpoint has no pictures, so that tars cannot come later.
    capsys.readouterr()
    assert run_here(*where, *flags, "--caption_column=caption", "--output_format=webdataset,parquet") == 2
    assert "--output_format was parquet, now parquet,webdataset" in capsys.readouterr().err


def test_another_mix_needs_no_new_captions(world: World) -> None:
    output = world.copy("another mix")
    asked = len(world.server.requests)
    assert world.run(output, BOTH, "--caption_mix=0.8", "--caption_mix_seed=1") == 0
    one, two = kept(world.output), kept(output)
    assert one["mixed_caption_source"].to_pylist() != two["mixed_caption_source"].to_pylist()
    assert one.drop_columns(["mixed_caption", "mixed_caption_source"]) == two.drop_columns(
        ["mixed_caption", "mixed_caption_source"]
    )
    assert tar_bytes(output) != tar_bytes(world.output)

    assert world.run(output, BOTH) == 0
    assert "mixed_caption" not in kept(output).column_names
    texts = [sample["txt"] for tar in tars(output) for sample in samples(tar)]
    assert texts == kept(output)["re_caption"].to_pylist()
    assert len(world.server.requests) == asked


def test_a_run_that_was_cut_short_goes_on_to_the_same_bytes(world: World) -> None:
    output = world.copy("cut short")
    for name in ("data", "rejected", "webdataset", "summary.json", "README.md", "report.html"):
        path = output / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    orphan = next((output / "_checkpoint/outcomes").glob("*/*.pictures"))
    orphan.with_suffix(".parquet").unlink()  # as if the writer had been killed in between
    asked = len(world.server.requests)
    assert world.run(output, BOTH, "--caption_mix=0.8") == 0
    assert len(world.server.requests) > asked
    assert tar_bytes(output) == tar_bytes(world.output)
    assert final_bytes(output) == final_bytes(world.output)
    assert not orphan.exists()


def test_two_pools_give_the_same_pictures(world: World) -> None:
    output = world.folder / "split"
    assert world.run(output, BOTH, "--caption_mix=1", "--worker_pools=split") == 0
    for ours, theirs in zip(tars(output), tars(world.output), strict=True):
        assert [row["jpg"].tobytes() for row in samples(ours)] == [row["jpg"].tobytes() for row in samples(theirs)]


def test_slices(world: World) -> None:
    output = world.folder / "slices"
    for number in (1, 2):
        assert world.run(output, BOTH, "--caption_mix=0.8", f"--slice={number}/2") == 0
    names = [path.stem for path in sorted((output / "data").iterdir())]
    assert [path.stem for path in tars(output)] == names
    assert all(name.startswith("train-slice-0000") for name in names)
    assert sum(len(samples(tar)) for tar in tars(output)) == kept(output).num_rows
    assert {file["name"] for file in summary(output)["files"]} >= {f"webdataset/{tar.name}" for tar in tars(output)}
    assert world.run(output, BOTH, "--caption_mix=0.8") == 0
    assert tar_bytes(output) == tar_bytes(world.output)


def test_pictures_cannot_go_later(world: World, capsys: pytest.CaptureFixture) -> None:
    assert world.run(world.output) == 2
    assert "--output_format was parquet,webdataset, now parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--output_format=webdataset"], "--output_format=webdataset: lacks parquet: Parquet is always written"),
        (["--output_format=parquet,tfrecord"], "--output_format=parquet,tfrecord: has the unknown part 'tfrecord'"),
        (["--caption_mix=0.8", "--captioner=none"], "--caption_mix=0.8: mixes original with new captions"),
        (["--caption_mix=80"], "--caption_mix=80: is out of range"),
        (["--caption_mix_seed=x"], "--caption_mix_seed=x: is not a whole number"),
    ],
)
def test_refused(world: World, tmp_path: Path, capsys: pytest.CaptureFixture, flags: list[str], problem: str) -> None:
    assert run_here(f"--input={world.folder}/*.tar", f"--output={tmp_path}/out", *flags) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert "; give" in said
    assert not (tmp_path / "out").exists()


def test_a_row_without_captions(tmp_path: Path) -> None:
    """Neither caption: an empty KEY.txt, and null in the JSON."""
    buffer = io.BytesIO()
    draw_photo(40, 40).save(buffer, "PNG")
    write_tar(tmp_path / "in.tar", [{"__key__": "0", "png": buffer.getvalue()}])
    flags = ("--preset=recap", "--captioner=none", "--clip_model=none", BOTH)
    assert run_here(f"--input={tmp_path}/in.tar", f"--output={tmp_path}/out", *flags) == 0
    (sample,) = samples(*tars(tmp_path / "out"))
    assert (sample["txt"], sample["json"]["caption"], sample["json"]["caption_source"]) == ("", None, None)


@pytest.mark.slow
def test_runs_that_are_killed_end_with_the_same_tars(world: World, tmp_path: Path) -> None:
    from support.fork_server import ForkServer
    from support.kills import kill_and_resume

    def check(output: Path) -> None:
        assert tar_bytes(output) == tar_bytes(world.output)
        assert final_bytes(output) == final_bytes(world.output)

    where = (f"--input={world.folder}/*.tar", f"--caption_endpoint={world.server.url}")
    flags = (*where, *FLAGS, BOTH, "--caption_mix=0.8")
    with ForkServer(tmp_path) as forks:
        kill_and_resume(
            lambda output: forks.start(f"--output={output}", *flags), tmp_path, check, kills=8, seed=0, quiet_s=2
        )
