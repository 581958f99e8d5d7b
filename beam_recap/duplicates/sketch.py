"""A short form of vectors whose products are never below the vectors' cosines.

Most pairs are far from being duplicates, and a few numbers tell. A unit vector is written in an orthonormal basis, the
first coordinates are kept, and one more number takes the length of what was left out. By Cauchy and Schwarz the
product of two left-out parts is at most the product of their lengths, so

    cosine = kept . kept' + left_out . left_out' <= kept . kept' + |left_out| |left_out'|

which is the dot product of the two short forms. The basis (principal directions) decides only how tight that is.
"""

from __future__ import annotations

import numpy as np

from beam_recap.duplicates.cosines import FLOAT32_UNIT

WIDTHS = (16, 32, 64, 96, 128, 192, 256)  # numbers of a short form; products of such widths run at full speed

# Of coordinates and lengths in float64; added under the root so that no length comes out too small.
_FLOAT64_ERROR = 1e-12


# In multiplications of a matrix product, as measured on one core of an EPYC 7003 (x86-64, AVX2).
LOOK_COST = 8.0  # to compare a product with the threshold
PAIR_COST = 30_000.0  # to multiply one pair of whole vectors that lie somewhere in memory


def principal_directions(units: np.ndarray) -> np.ndarray:
    """An orthonormal basis, the directions with most of the vectors first: float64 [D, D].

    Args:
      units: float32 [N, D].
    """
    exact = units.astype(np.float64)
    return np.linalg.eigh(exact.T @ exact)[1][:, ::-1]


def shorten(units: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Short forms, float32 [N, K + 1]: see the module.

    Args:
      units: float32 [N, D].
      basis: orthonormal columns, float64 [D, K].
    """
    short = np.empty((len(units), basis.shape[1] + 1), np.float32)
    for start in range(0, len(units), 4096):
        exact = units[start : start + 4096].astype(np.float64)
        kept = exact @ basis
        left_out = np.einsum("nd,nd->n", exact, exact) - np.einsum("nk,nk->n", kept, kept)
        short[start : start + 4096, :-1] = kept
        short[start : start + 4096, -1] = np.sqrt(np.maximum(left_out, 0) + _FLOAT64_ERROR)
    return short


def short_error(width: int) -> float:
    """How far a float32 product of two short forms of ``width`` numbers can be below the vectors' cosine.

    It is the bound of `Vectors.unit_error` for that width; rounding the vectors and then their short forms counts for
    four units.
    """
    return (width + 12) * FLOAT32_UNIT


def choose_width(units: np.ndarray, basis: np.ndarray, apart: np.ndarray, threshold: float, tile: int) -> int | None:
    """The width that should take the least time; None if whole vectors do.

    A sample tells which share of pairs would have to be looked at again. The model is rough, and only time hangs on it.

    Args:
      units: a sample, float32 [N, D].
      basis: `principal_directions`.
      apart: which pairs of the sample count, bool [N, N].
      threshold: the cosine to reach.
      tile: rows, and columns, of the products to come.
    """
    dimensions = units.shape[1]
    costs: dict[int | None, float] = {None: dimensions + LOOK_COST}
    pairs = max(int(apart.sum()), 1)
    for width in WIDTHS:
        if width >= dimensions:
            break
        short = shorten(units, basis[:, : width - 1])
        share = float(np.count_nonzero((short @ short.T >= threshold) & apart)) / pairs
        crowded = (1 - np.exp(-share * tile)) ** 2  # of a tile's rows and columns, as far as chance spreads them
        costs[width] = width + LOOK_COST + min(share * PAIR_COST, crowded * (dimensions + LOOK_COST))
    return min(costs, key=lambda width: costs[width])
