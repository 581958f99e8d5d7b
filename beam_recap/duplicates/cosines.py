"""Cosines of float16 vectors: fast ones with a bound on their error, and exact ones.

A float16 is a whole multiple of 2^-24, so a product of two is one of 2^-48, and so is every partial sum of a dot
product. Those of vectors of about unit length are below 2^4, need at most 52 bits, and are therefore exact in float64:
in any order, on any machine, whatever the block.
"""

from __future__ import annotations

import numpy as np

FLOAT32_UNIT = 2.0**-24  # the largest relative error of rounding to float32
_MIN_LENGTH, _MAX_LENGTH = 0.5, 2.0  # far beyond what rounding to float16 does to a unit vector
_CHUNK = 4096


class Vectors:
    """Vectors of about unit length.

    Args:
      half: float16 [N, D].

    Attributes:
      usable: bool [N]; a vector that is zero or not finite has no cosine with any.

    Raises:
      ValueError: a vector whose length is not about 1: its products would not be exact.
    """

    def __init__(self, half: np.ndarray):
        self._half = half
        self._squares = np.concatenate(
            [np.zeros(0)] + [_dots(block, block) for block in _blocks(half)]  # exact squares of lengths
        )
        self.usable = np.isfinite(self._squares) & (self._squares > 0)
        squares = self._squares[self.usable]
        wrong = (squares < _MIN_LENGTH**2) | (squares > _MAX_LENGTH**2)
        if wrong.any():
            length = float(np.sqrt(squares[wrong][0]))
            raise ValueError(f"embeddings are kept at unit length, but one has length {length:.4g}")

    def __len__(self) -> int:
        return len(self._half)

    @property
    def dimensions(self) -> int:
        """D."""
        return self._half.shape[1]

    def bits(self, index: int) -> bytes:
        """One vector's own bytes."""
        return self._half[index].tobytes()

    def units(self, indexes: np.ndarray) -> np.ndarray:
        """Vectors at unit length, rounded to float32: [N, D]."""
        units = np.empty((len(indexes), self.dimensions), np.float32)
        for start in range(0, len(indexes), _CHUNK):
            chunk = indexes[start : start + _CHUNK]
            scaled = self._half[chunk].astype(np.float64)
            scaled /= np.sqrt(self._squares[chunk])[:, None]
            units[start : start + _CHUNK] = scaled
        return units

    @property
    def unit_error(self) -> float:
        """How far a float32 dot product of two `units` can be from their cosine, summed in whatever order.

        For products of D terms the bound is D * u, for rounding both vectors 2 * u (Higham, Accuracy and Stability of
        Numerical Algorithms, 3.1; the terms' absolute values sum up to at most 1 by Cauchy and Schwarz). The rest is
        for terms of u squared and for rounding what it is compared with.
        """
        return (self.dimensions + 8) * FLOAT32_UNIT

    def cosines(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The cosine of each pair, float64 [N]: the exact dot product over the square root of the exact squares.

        Args:
          left: indexes of usable vectors, int64 [N].
          right: likewise.
        """
        found = np.empty(len(left))
        for start in range(0, len(left), _CHUNK):
            pairs = slice(start, start + _CHUNK)
            first, second = left[pairs], right[pairs]
            dots = _dots(self._half[first], self._half[second])
            found[pairs] = dots / np.sqrt(self._squares[first] * self._squares[second])
        return found

    def cosine_table(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The same numbers for all pairs of two lists of indexes, float64 [N, M]."""
        dots = self._half[left].astype(np.float64) @ self._half[right].astype(np.float64).T
        return dots / np.sqrt(self._squares[left][:, None] * self._squares[right][None, :])


def _dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", left.astype(np.float64), right.astype(np.float64))


def _blocks(half: np.ndarray) -> list[np.ndarray]:
    return [half[start : start + _CHUNK] for start in range(0, len(half), _CHUNK)]
