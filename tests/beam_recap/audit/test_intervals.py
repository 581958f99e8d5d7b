"""Intervals: against values from elsewhere, and against how often they hold what they should."""

from __future__ import annotations

import numpy as np
import pytest

from beam_recap.audit.intervals import bootstrap, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # scipy.stats.binomtest(count, of).proportion_ci(method="wilson")
        (0, 116, 0.0, 0.0320548),
        (94, 100, 0.8752318, 0.9722139),
        (1, 10, 0.0178762, 0.4041500),
        (10, 10, 0.7224672, 1.0),
    ],
)
def test_wilson(count: int, of: int, low: float, high: float) -> None:
    assert wilson(count, of) == pytest.approx((low, high), abs=1e-6)


def test_a_share_of_nothing_has_no_interval() -> None:
    assert wilson(0, 0) is None


def test_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    """Of a mean the interval is 1.96 standard errors to each side, whatever the rows per bucket."""
    random = np.random.default_rng(1)
    for rows, buckets in ((400, 1000), (50_000, 1000), (20_000, 100)):
        values = random.integers(0, 1000, rows)
        table = np.zeros((buckets, 2), np.int64)
        np.add.at(table, random.integers(0, buckets, rows), np.stack([values, np.ones(rows, np.int64)], 1))
        filled = table[table[:, 1] > 0]
        ((low, high),) = bootstrap(filled, [(0, 1)], resamples=2000, seed=0, buckets=buckets)
        reach = 1.96 * values.std() / np.sqrt(rows)
        assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.35 * reach)
        assert (high - low) / 2 == pytest.approx(reach, rel=0.25)


def test_bootstrap_covers() -> None:
    random = np.random.default_rng(2)
    held = 0
    for trial in range(200):
        values = random.random(300) < 0.3
        table = np.stack([values, np.ones(300)], 1).astype(np.int64)
        ((low, high),) = bootstrap(table, [(0, 1)], resamples=300, seed=trial, buckets=1000)
        held += low <= 0.3 <= high
    assert 0.90 <= held / 200 <= 0.985


def test_bootstrap_depends_on_the_seed_alone() -> None:
    table = np.arange(20, dtype=np.int64).reshape(10, 2) + 1
    first = bootstrap(table, [(0, 1), (1, 0)], resamples=100, seed=3, buckets=1000)
    assert first == bootstrap(table, [(0, 1), (1, 0)], resamples=100, seed=3, buckets=1000)
    assert first != bootstrap(table, [(0, 1), (1, 0)], resamples=100, seed=4, buckets=1000)


def test_bootstrap_of_nothing() -> None:
    assert bootstrap(np.zeros((0, 2), np.int64), [(0, 1)], resamples=10, seed=0, buckets=10) == [None]
    assert bootstrap(np.ones((3, 2), np.int64), [(0, 1)], resamples=0, seed=0, buckets=10) == [None]
    assert bootstrap(np.array([[1, 0]]), [(0, 1)], resamples=10, seed=0, buckets=10) == [None]
    ((low, high),) = bootstrap(np.ones((10, 2), np.int64), [(0, 1)], resamples=10, seed=0, buckets=10)
    assert (low, high) == (1.0, 1.0)  # every bucket filled
