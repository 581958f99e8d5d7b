"""Which rows are drawn: as many as wanted, by number and seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.clusters.row_sample import RowSample


@pytest.mark.parametrize(("total", "wanted"), [(1, 1), (10, 3), (65_536, 1), (65_537, 65_536), (200_000, 777)])
def test_exactly_as_many_as_wanted(total: int, wanted: int) -> None:
    assert RowSample(total, wanted, 42).mask(0, total).sum() == wanted == RowSample(total, wanted, 42).rows


def test_all_rows_where_there_are_no_more_than_wanted() -> None:
    assert RowSample(10, 10, 1).mask(0, 10).all() and RowSample(10, 11, 1).mask(3, 5).all()
    assert RowSample(10, 11, 1).rows == 10


@given(st.integers(0, 140_000), st.integers(0, 140_000))
def test_a_part_is_a_part_of_the_whole(one: int, other: int) -> None:
    sample = RowSample(140_000, 5_000, 7)
    start, stop = sorted((one, other))
    assert np.array_equal(sample.mask(start, stop), sample.mask(0, 140_000)[start:stop])


def test_seeds_and_purposes_draw_differently_and_evenly() -> None:
    total = 300_000
    masks = [RowSample(total, 30_000, seed, purpose).mask(0, total) for seed, purpose in ((1, 0), (2, 0), (1, 1))]
    for place, mask in enumerate(masks):
        for other in masks[:place]:
            assert 2_000 < (mask & other).sum() < 4_000  # 3,000 by chance
        assert all(1_900 < part.sum() < 2_100 for part in np.array_split(mask, 15))


def test_the_rows_that_a_seed_draws_never_change() -> None:
    assert np.flatnonzero(RowSample(100, 8, 42).mask(0, 100)).tolist() == [17, 27, 51, 68, 74, 84, 85, 97]
