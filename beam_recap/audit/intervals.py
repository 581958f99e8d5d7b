"""How sure the figures are: 95 % intervals of shares (Wilson) and of ratios of sums (bootstrap)."""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the normal distribution's quantile at 0.975
_BLOCK = 64  # resamples drawn at a time

Interval = tuple[float, float]


def wilson(count: int, of: int) -> Interval | None:
    """The Wilson score interval of a share; None of nothing."""
    if of == 0:
        return None
    share, squared = count / of, _Z * _Z
    centre = (share + squared / (2 * of)) / (1 + squared / of)
    reach = _Z / (1 + squared / of) * math.sqrt(share * (1 - share) / of + squared / (4 * of * of))
    return (0.0 if count == 0 else max(0.0, centre - reach), 1.0 if count == of else min(1.0, centre + reach))


def bootstrap(
    table: np.ndarray, ratios: list[tuple[int, int]], *, resamples: int, seed: int, buckets: int
) -> list[Interval | None]:
    """Percentile intervals of ratios of column sums, by drawing buckets of rows again with replacement.

    With fewer rows than buckets nearly every row is alone in its bucket, and this is the bootstrap over rows; with
    more it is the bootstrap over random groups of rows.

    Args:
      table: sums per bucket, int64 ``[B, F]``; buckets without rows may be left out.
      ratios: (column above, column below) of each ratio.
      resamples: how many times.
      seed: of the draws; they depend on nothing else.
      buckets: all buckets, those without rows included.

    Returns:
      One interval per ratio; None where its denominator is 0.
    """
    filled = len(table)
    if not filled or not resamples:
        return [None] * len(ratios)
    random = np.random.default_rng(seed)
    columns = sorted({column for ratio in ratios for column in ratio})
    values = table[:, columns].astype(np.float64)
    shares = np.full(filled + (filled < buckets), 1 / buckets)
    if filled < buckets:
        shares[-1] = 1 - filled / buckets  # all empty buckets together
    drawn = []
    for start in range(0, resamples, _BLOCK):
        counts = random.multinomial(buckets, shares, size=min(_BLOCK, resamples - start))
        drawn.append(counts[:, :filled] @ values)
    sums = np.concatenate(drawn)
    return [_percentiles(sums[:, columns.index(above)], sums[:, columns.index(below)]) for above, below in ratios]


def _percentiles(above: np.ndarray, below: np.ndarray) -> Interval | None:
    known = below > 0
    if not known.any():
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(above[known] / below[known], [tail, 100 - tail])
    return float(low), float(high)
