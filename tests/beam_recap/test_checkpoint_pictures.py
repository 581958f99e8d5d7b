from __future__ import annotations

import dataclasses
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from support.gcs_server import GcsServer

from beam_recap import checkpoint, checkpoint_pictures
from beam_recap.checkpoint_pictures import PictureError, PictureReader
from beam_recap.outcome_buffer import OutcomeBuffer
from beam_recap.records import Outcome, Reason, Sample, Stage

UNIT = "/in/a.parquet[0:9]"


def sample(index: int, picture: bytes | None, unit: str = UNIT) -> Sample:
    return Sample(unit=unit, index=index, uid=str(index), key=str(index), image_bytes=picture)


def read_all(output: Path, unit: str = UNIT) -> dict[int, bytes]:
    with checkpoint.open_pictures(str(output), unit) as pictures:
        outcomes = checkpoint.read_outcomes(str(output), unit)
        return {one.index: pictures.read(one.picture) for one in outcomes if isinstance(one, Sample)}


def test_pictures_come_back_in_any_order(tmp_path: Path) -> None:
    rng = random.Random(0)
    pictures = {index: rng.randbytes(rng.randint(1, 5000)) for index in range(300)}
    order = rng.sample(sorted(pictures), len(pictures))
    for start in range(0, 300, 7):  # more files than are held open
        rows = [sample(index, pictures[index]) for index in order[start : start + 7]]
        checkpoint.write_outcomes(str(tmp_path), 1, rows)
    assert read_all(tmp_path) == pictures


def test_outcomes_hold_none_of_them(tmp_path: Path) -> None:
    (path,) = checkpoint.write_outcomes(str(tmp_path), 1, [sample(0, bytes(100_000)), sample(1, bytes(100_000))])
    assert Path(path).stat().st_size < 60_000
    assert [outcome.image_bytes for outcome in checkpoint.read_outcomes(str(tmp_path), UNIT)] == [None, None]
    assert Path(path).with_suffix(".pictures").stat().st_size == 200_000


def test_rows_without_and_rejections_have_none(tmp_path: Path) -> None:
    outcomes: list[Outcome] = [
        sample(0, None),
        sample(1, b"one"),
        dataclasses.replace(sample(2, b"two"), image_bytes=b"2").reject(Stage.OCR, Reason.HAS_TEXT),
        sample(3, b"three", "other"),
    ]
    paths = checkpoint.write_outcomes(str(tmp_path), 1, outcomes)
    assert sorted(Path(path).with_suffix(".pictures").read_bytes() for path in paths) == [b"one", b"three"]
    assert read_all(tmp_path, "other") == {3: b"three"}
    with checkpoint.open_pictures(str(tmp_path), UNIT) as pictures, pytest.raises(PictureError, match="None"):
        pictures.read(checkpoint.read_outcomes(str(tmp_path), UNIT)[0].picture)
    (path,) = checkpoint.write_outcomes(str(tmp_path), 1, [sample(0, None, "third")])
    assert not Path(path).with_suffix(".pictures").exists()


def test_of_a_row_that_was_written_twice_the_picture_is_that_of_the_outcome(tmp_path: Path) -> None:
    first = dataclasses.replace(sample(0, b"first"), caption="b")
    second = dataclasses.replace(sample(0, b"second"), caption="a")
    for outcome in (first, second, first):
        checkpoint.write_outcomes(str(tmp_path), 1, [outcome])
    assert read_all(tmp_path) == {0: b"second"}
    checkpoint.write_outcomes(str(tmp_path), 2, [first])
    assert read_all(tmp_path) == {0: b"first"}


def test_the_place_of_a_picture_does_not_decide_between_equal_outcomes(tmp_path: Path) -> None:
    """What follows "picture" in the alphabet decides, not the random name of a file."""
    for _ in range(8):
        for text in ("a", "b"):
            outcome = dataclasses.replace(sample(0, text.encode()), recaption=text)
            checkpoint.write_outcomes(str(tmp_path), 1, [outcome])
    assert read_all(tmp_path) == {0: b"a"}


@pytest.mark.parametrize("place", ["x.pictures:0:1", "", "x", "a:b:c"])
def test_a_picture_that_is_not_there(tmp_path: Path, place: str) -> None:
    with PictureReader(str(tmp_path)) as pictures, pytest.raises(PictureError, match="no picture"):
        pictures.read(place)


def test_a_picture_that_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "x.pictures").write_bytes(b"1234")
    with PictureReader(str(tmp_path)) as pictures, pytest.raises(PictureError, match="ends after 3 bytes"):
        pictures.read("x.pictures:1:4")


def test_what_killed_writers_left_is_deleted(tmp_path: Path) -> None:
    (path,) = checkpoint.write_outcomes(str(tmp_path), 1, [sample(0, b"one")])
    folder = Path(path).parent
    (folder / "000001-dead.pictures").write_bytes(b"?")
    (folder / f".tmp-{'0' * 32}-000001-x.pictures").write_bytes(b"?")
    checkpoint.delete_unfinished(str(tmp_path), UNIT, with_pictures=True)
    assert sorted(folder.iterdir()) == sorted([Path(path), Path(path).with_suffix(".pictures")])
    assert read_all(tmp_path) == {0: b"one"}


def test_in_an_object_store(gcs: GcsServer) -> None:
    gcs.buckets.add("bucket")
    output = "gs://bucket/out"
    checkpoint.write_outcomes(output, 1, [sample(1, b"one"), sample(0, b"zero")])
    checkpoint.write_outcomes(output, 1, [sample(2, b"two")])
    with checkpoint.open_pictures(output, UNIT) as pictures:
        outcomes = checkpoint.read_outcomes(output, UNIT)
        assert [pictures.read(one.picture) for one in outcomes] == [b"zero", b"one", b"two"]
        folder = Path(pictures._folder.name)
        assert len(list(folder.iterdir())) == 2
    assert not folder.exists()
    checkpoint.delete_unfinished(output, UNIT, with_pictures=True)
    assert len(checkpoint.read_outcomes(output, UNIT)) == 3


def test_reading_holds_no_pictures(tmp_path: Path) -> None:
    for index in range(40):
        checkpoint.write_outcomes(str(tmp_path), 1, [sample(index, bytes(1 << 20))])
    outcomes = checkpoint.read_outcomes(str(tmp_path), UNIT)
    tracemalloc.start()
    with checkpoint.open_pictures(str(tmp_path), UNIT) as pictures:
        read = sum(len(pictures.read(outcome.picture)) for outcome in outcomes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == 40 << 20
    assert peak < 4 << 20


def test_the_buffer_counts_the_bytes_of_pictures() -> None:
    written: list[int] = []
    buffer = OutcomeBuffer(
        lambda outcomes: written.append(len(outcomes)) or [], flush_rows=1000, flush_seconds=600, flush_bytes=1000
    )
    for index in range(10):
        buffer.add(sample(index, bytes(300)))
    assert written == [4, 4]
    buffer.add(sample(10, None))
    buffer.flush()
    assert written == [4, 4, 3]


def test_the_buffer_goes_on_counting_after_a_failure() -> None:
    written: list[int] = []

    def write(outcomes: Any) -> list[str]:
        if not written:
            written.append(0)
            raise OSError("full")
        written.append(len(outcomes))
        return []

    buffer = OutcomeBuffer(write, flush_rows=1000, flush_seconds=600, flush_bytes=500)
    buffer.add(sample(0, bytes(300)))
    with pytest.raises(OSError):
        buffer.add(sample(1, bytes(300)))
    buffer.add(sample(2, bytes(1)))  # what could not be written still counts
    assert written == [0, 3]


def test_what_an_outcome_weighs() -> None:
    assert checkpoint_pictures.picture_bytes(sample(0, b"123")) == 3
    assert checkpoint_pictures.picture_bytes(sample(0, None)) == 0
    assert checkpoint_pictures.picture_bytes(sample(0, b"123").reject(Stage.OCR, Reason.HAS_TEXT)) == 0
