"""Pictures become JPEGs on their way to the checkpoint."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from support.collected import run_and_collect, run_stage
from support.pictures import draw_photo

from beam_recap import checkpoint
from beam_recap.images import encode_image
from beam_recap.records import Sample
from transforms import encode_picture
from transforms.checkpoint import Checkpoint
from transforms.encode_picture import MAX_SIDE, EncodePicture
from transforms.spread_rows import MAX_SIDE as SPREAD_SIDE
from transforms.spread_rows import SpreadRows


def sample(index: int, image: np.ndarray) -> Sample:
    return Sample(unit="u", index=index, uid=str(index), key=str(index), image=image, width=1, height=2)


def test_it_is_what_img2dataset_writes() -> None:
    image = np.asarray(draw_photo(90, 60))
    (row,), _ = run_stage([sample(0, image)], EncodePicture())
    assert row.image_bytes == encode_image(image, quality=95)
    assert (row.image == image).all()
    assert row.seconds[0] > 0  # as a part of fetching


def test_a_picture_that_fits_no_jpeg_is_rejected() -> None:
    images = [np.zeros((1, MAX_SIDE, 3), np.uint8), np.zeros((MAX_SIDE + 1, 1, 3), np.uint8)]
    kept, (out,) = run_stage([sample(index, image) for index, image in enumerate(images)], EncodePicture())
    assert [row.index for row in kept] == [0]
    assert (out.sample.index, out.stage, out.reason) == (1, "fetch", "too_elongated")
    assert out.detail == "1 x 65501 px; a JPEG's sides have at most 65500"


def test_memory_that_runs_out_costs_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object, **more: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(encode_picture, "encode_image", fail)
    _, (out,) = run_stage([sample(0, np.zeros((2, 2, 3), np.uint8))], EncodePicture())
    assert (out.stage, out.reason) == ("fetch", "out_of_memory")


def test_it_crosses_to_the_second_pool_as_it_is() -> None:
    image = np.asarray(draw_photo(1000, 800))
    (row,), _ = run_stage([sample(0, image)], EncodePicture())
    (row,) = run_and_collect([row], SpreadRows(keep_pictures=True))
    assert row.image_bytes == encode_image(image, quality=95)
    assert max(row.image.shape) == SPREAD_SIDE


@pytest.mark.parametrize("keep", [False, True])
def test_the_checkpoint_keeps_it_only_where_it_is_told_to(tmp_path: Path, keep: bool) -> None:
    (row,), _ = run_stage([sample(0, np.zeros((3, 4, 3), np.uint8))], EncodePicture())
    run_and_collect([row], _Written(Checkpoint(str(tmp_path), 1, keep_pictures=keep)))
    (row,) = checkpoint.read_outcomes(str(tmp_path), "u")
    assert (row.picture is not None) == keep
    assert len(list(tmp_path.rglob("*.pictures"))) == keep


class _Written(beam.PTransform):
    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self._checkpoint = checkpoint

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return {"Kept": rows} | self._checkpoint
