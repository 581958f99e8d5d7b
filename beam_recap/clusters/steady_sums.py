"""Sums whose last bit depends on nothing but what is summed.

A matrix product's last bits depend on how many rows it has, on where a row stands among them and on the number of
threads. Where such a bit could decide something, it is decided by sums that are added up one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FLOAT64_ROUNDING = 2.0**-53
FLOAT32_ROUNDING = 2.0**-24
_CHUNK_NUMBERS = 1 << 22  # 32 MB at a time


def sum_rows(terms: np.ndarray) -> np.ndarray:
    """Sums of rows ``[N, n]``, n >= 1, from the first number to the last: float64 ``[N]``.

    Off by no more than ``n * 2**-53`` times the sum of the numbers' sizes.
    """
    # Each partial sum is defined by the one before, so there is only one order.
    return np.cumsum(terms, axis=1, dtype=np.float64)[:, -1]


def sum_pairs(
    terms: Callable[[np.ndarray, np.ndarray], np.ndarray], left: np.ndarray, right: np.ndarray, length: int
) -> np.ndarray:
    """`sum_rows` of ``terms(left, right)``, a bounded number of pairs at a time: float64 ``[N]``.

    Args:
      terms: gives ``[n, length]`` for the first n of each.
      left: what to pair, ``[N]``.
      right: with what, ``[N]``.
      length: numbers to sum.
    """
    sums = np.empty(len(left))
    step = max(1, _CHUNK_NUMBERS // length)
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        sums[part] = sum_rows(terms(left[part], right[part]))
    return sums
