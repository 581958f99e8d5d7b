"""Which rows are used where there are too many: drawn by a seed and a row's number alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class RowSample:
    """``wanted`` of ``total`` rows, all of them where there are no more.

    Every block of 65,536 rows gives its share (so the sample is spread over the whole input, and can be drawn while
    reading), and within it chance decides, by a generator whose numbers NumPy promises never to change. Neither the
    files' sizes nor the order of reading has any influence.

    Args:
      total: rows that there are.
      wanted: rows to draw.
      seed: 0 or more.
      purpose: another number draws independently of the first.
    """

    total: int
    wanted: int
    seed: int
    purpose: int = 0

    @property
    def rows(self) -> int:
        """How many rows are drawn."""
        return min(self.total, self.wanted)

    def mask(self, start: int, stop: int) -> np.ndarray:
        """Which of the rows ``start`` to ``stop`` are drawn: bool ``[stop - start]``."""
        if self.rows == self.total:
            return np.ones(stop - start, bool)
        blocks = range(start // _BLOCK_ROWS, -(-stop // _BLOCK_ROWS))
        parts = [_block_mask(self, block) for block in blocks]
        first = blocks.start * _BLOCK_ROWS
        return np.concatenate([np.zeros(0, bool), *parts])[start - first : stop - first]


@functools.lru_cache(maxsize=4)
def _block_mask(sample: RowSample, block: int) -> np.ndarray:
    start = block * _BLOCK_ROWS
    stop = min(start + _BLOCK_ROWS, sample.total)
    share = stop * sample.rows // sample.total - start * sample.rows // sample.total
    keys = np.random.PCG64([sample.seed, sample.purpose, block]).random_raw(stop - start)
    mask = np.zeros(stop - start, bool)
    mask[np.argsort(keys, kind="stable")[:share]] = True
    return mask
