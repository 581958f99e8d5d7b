"""Rows that cross from one pool of workers to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.collected import run_and_collect
from support.pictures import draw_photo
from support.recap_runs import assert_accounts, kept, rejected, run_here

from beam_recap.records import Sample
from transforms.spread_rows import MAX_SIDE, SpreadRows


def sample(index: int, width: int, height: int) -> Sample:
    return Sample(
        unit="u",
        index=index,
        uid=str(index),
        key=str(index),
        width=9999,
        image=np.asarray(draw_photo(width, height)),
        image_embedding=np.full(4, 0.5, np.float32),
    )


def test_pictures_arrive_small_and_hardly_changed() -> None:
    sizes = [(50, 100), (MAX_SIDE, MAX_SIDE), (1024, 1536), (4000, 3)]
    samples = [sample(index, *size) for index, size in enumerate(sizes)]
    rows = sorted(run_and_collect(samples, SpreadRows()), key=lambda row: row.index)
    assert [row.image.shape for row in rows] == [(100, 50, 3), (672, 672, 3), (672, 448, 3), (1, 672, 3)]
    for before, after in zip(samples[:2], rows[:2], strict=True):
        difference = before.image.astype(float) - after.image.astype(float)
        assert np.sqrt((difference**2).mean()) < 8
    for row in rows:
        assert (row.image_bytes, row.width) == (None, 9999)
        assert row.image_embedding.tolist() == [0.5] * 4


@pytest.mark.slow
def test_two_pools_keep_what_one_keeps(tmp_path: Path) -> None:
    fused, split = tmp_path / "fused", tmp_path / "split"
    assert run_here(f"--output={fused}") == 0
    assert run_here(f"--output={split}", "--worker_pools=split") == 0
    assert_accounts(split, 96)
    one, two = kept(fused).to_pylist(), kept(split).to_pylist()
    assert [row["key"] for row in one] == [row["key"] for row in two]
    assert rejected(fused) == rejected(split)
    same = sum(a["re_caption"] == b["re_caption"] for a, b in zip(one, two, strict=True))
    assert same >= 0.9 * len(one)
