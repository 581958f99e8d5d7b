"""Connected components of the graph whose edges are cosines of at least a threshold, exact to the last bit.

100,000 rows make 5 * 10^9 pairs. What saves most of the work, without leaving out a pair that could count:

* Equal vectors count once.
* Pairs inside one component are not looked at. Some rows are multiplied with all others first, which finds the large
  components; the rest is visited component by component, and blocks that are one component already are skipped.
* Most other pairs are told apart by their short forms (`sketch`), at an eighth of the cost.
* What remains is multiplied in float32, with a bound on the error. Only what lies within that bound of the threshold,
  and would join two components, is multiplied exactly.

Edges are never stored: those of a block are united at once. Beside the vectors in float32 there are a few blocks.
"""

from __future__ import annotations

import hashlib

import numpy as np

from beam_recap.duplicates.cosines import Vectors
from beam_recap.duplicates.forest import Forest
from beam_recap.duplicates.sketch import PAIR_COST, choose_width, principal_directions, short_error, shorten

BLOCK = 1024  # the products of two such blocks are 4 MiB and stay in the cache
_FEW_BLOCKS = 4  # up to so many everything is multiplied: looking for short cuts would take longer
_SAMPLE = 1024
_SAMPLE_SHARE = 32  # of the rows at most one in so many
_BASIS_ROWS = 8192
_PAIRS = 4096  # gathered at a time
_EXACT_PAIR_COST = 140  # gathering and multiplying a pair in float64, in pairs of a float64 matrix product; measured


def cosine_components(vectors: Vectors, threshold: float, *, block: int = BLOCK) -> np.ndarray:
    """Which vectors are linked, directly or over others, by cosines of at least the threshold.

    Args:
      vectors: [N]; those that are not usable stand alone.
      threshold: compared with `Vectors.cosines`; in (0, 1].
      block: rows that are multiplied at a time. The result does not depend on it.

    Returns:
      The lowest index in each one's component, int64 [N].
    """
    labels = np.arange(len(vectors))
    usable = np.flatnonzero(vectors.usable)
    different, which = _first_of_equal(vectors, usable)
    forest = Forest(len(different))
    if len(different) > 1:
        _Search(vectors, different, forest, float(threshold), block).run()
    labels[usable] = different[forest.labels()][which]
    return labels


def _first_of_equal(vectors: Vectors, indexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first index of each different vector, ascending, and the position in that of each of ``indexes``."""
    first: dict[bytes, int] = {}
    firsts = [
        first.setdefault(hashlib.blake2b(vectors.bits(index), digest_size=16).digest(), index)
        for index in indexes.tolist()
    ]
    return np.unique(np.array(firsts, dtype=np.int64), return_inverse=True)


class _Search:
    """Unites what is near. Rows and columns are positions in ``indexes``, the vectors that are looked at."""

    def __init__(self, vectors: Vectors, indexes: np.ndarray, forest: Forest, threshold: float, block: int):
        self._vectors = vectors
        self._indexes = indexes
        self._forest = forest
        self._threshold = threshold
        self._block = block
        self._units = vectors.units(indexes)
        self._short: np.ndarray | None = None
        self._may_reach = threshold  # for products of short forms
        # Fresh memory for the products of every two blocks would cost as much as the products.
        self._room = np.empty(max(_SAMPLE, block) * block, np.float32)
        self._marks = np.empty(self._room.size, bool)

    def run(self) -> None:
        order = np.arange(len(self._indexes))
        if len(order) > _FEW_BLOCKS * self._block:
            sample = _spread(len(order), min(_SAMPLE, len(order) // _SAMPLE_SHARE))
            for start in range(0, len(order), self._block):
                self._visit(sample, order[start : start + self._block])
            self._shorten(sample)
            order = _by_size(self._forest.labels())
        for start in range(0, len(order), self._block):
            rows = order[start : start + self._block]
            for other in range(start, len(order), self._block):
                self._visit(rows, order[other : other + self._block])

    def _shorten(self, sample: np.ndarray) -> None:
        basis = principal_directions(self._units[_spread(len(self._units), _BASIS_ROWS)])
        width = choose_width(self._units[sample], basis, self._apart(sample, sample), self._threshold, self._block)
        if width is not None:
            self._short = shorten(self._units, basis[:, : width - 1])
            self._may_reach = self._threshold - short_error(width)

    def _apart(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._forest.find(rows)[:, None] != self._forest.find(columns)[None, :]

    def _product(self, vectors: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Dot products, float32 [N, M]; good until the next call."""
        room = self._room[: len(rows) * len(columns)].reshape(len(rows), len(columns))
        return np.matmul(vectors[rows], vectors[columns].T, out=room)

    def _mark(self, products: np.ndarray, least: float) -> np.ndarray:
        """Where a product is at least so much, bool [N, M]; good until the next call."""
        return np.greater_equal(products, least, out=self._marks[: products.size].reshape(products.shape))

    def _visit(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Finds every edge between the two that joins components."""
        row_roots, column_roots = self._forest.find(rows), self._forest.find(columns)
        if (row_roots == row_roots[0]).all():
            columns = columns[column_roots != row_roots[0]]
        elif (column_roots == column_roots[0]).all():
            rows = rows[row_roots != column_roots[0]]
        if not len(columns):
            return
        if self._short is None:
            self._multiply(rows, columns)
            return
        near = self._mark(self._product(self._short, rows, columns), self._may_reach)
        pairs = np.count_nonzero(near)
        if pairs * PAIR_COST < near.size * self._vectors.dimensions:
            left, right = np.divmod(np.flatnonzero(near), len(columns))
            self._look_again(rows, columns, left, right)
        else:
            near &= self._apart(rows, columns)
            some_rows, some_columns = near.any(axis=1), near.any(axis=0)
            if some_rows.any():
                self._multiply(rows[some_rows], columns[some_columns])

    def _look_again(self, rows: np.ndarray, columns: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """The same for a few pairs: those of ``rows[left[i]]`` and ``columns[right[i]]``."""
        apart = self._forest.find(rows[left]) != self._forest.find(columns[right])
        left, right = left[apart], right[apart]
        some_rows, some_columns = np.unique(left), np.unique(right)
        # As a product a few rows and columns can be cheaper than their pairs one by one.
        if len(some_rows) * len(some_columns) * self._vectors.dimensions < len(left) * PAIR_COST:
            self._multiply(rows[some_rows], columns[some_columns])
        else:
            for start in range(0, len(left), _PAIRS):
                self._multiply_pairs(rows[left[start : start + _PAIRS]], columns[right[start : start + _PAIRS]])

    def _multiply_pairs(self, left: np.ndarray, right: np.ndarray) -> None:
        products = np.einsum("nd,nd->n", self._units[left], self._units[right])
        error = self._vectors.unit_error
        sure = products >= self._threshold + error
        self._forest.unite(left[sure], right[sure])
        close = np.flatnonzero((products >= self._threshold - error) & ~sure)
        self._multiply_exactly(left[close], right[close])

    def _multiply_exactly(self, left: np.ndarray, right: np.ndarray) -> None:
        apart = self._forest.find(left) != self._forest.find(right)
        left, right = left[apart], right[apart]
        cosines = self._vectors.cosines(self._indexes[left], self._indexes[right])
        edges = cosines >= self._threshold
        self._forest.unite(left[edges], right[edges])

    def _multiply(self, rows: np.ndarray, columns: np.ndarray) -> None:
        products = self._product(self._units, rows, columns)
        error = self._vectors.unit_error
        if products.max() < self._threshold - error:
            return
        self._forest.unite_where(rows, columns, self._mark(products, self._threshold + error))
        close = self._mark(products, self._threshold - error)
        close &= self._apart(rows, columns)  # what is sure is one component by now
        pairs = np.count_nonzero(close)
        if pairs * _EXACT_PAIR_COST < close.size:
            left, right = np.nonzero(close)
            self._multiply_exactly(rows[left], columns[right])
        else:
            cosines = self._vectors.cosine_table(self._indexes[rows], self._indexes[columns])
            self._forest.unite_where(rows, columns, close & (cosines >= self._threshold))


def _spread(size: int, count: int) -> np.ndarray:
    """At most ``count`` of ``size`` numbers, evenly spread, at least one."""
    return np.unique(np.linspace(0, size - 1, max(1, min(count, size))).astype(np.int64))


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Positions, those of the largest component first, each component in one piece."""
    sizes = np.bincount(labels)[labels]
    return np.lexsort((labels, -sizes))
