"""Connected components that grow as edges are found: disjoint sets, many at a time."""

from __future__ import annotations

import numpy as np


class Forest:
    """Disjoint sets of the numbers 0 to ``size`` - 1; each is named by its lowest member.

    Args:
      size: how many numbers; each is a set of its own at first.
    """

    def __init__(self, size: int):
        self._parents = np.arange(size)

    def find(self, items: np.ndarray) -> np.ndarray:
        """The names of the items' sets, int64 [N].

        Args:
          items: int64 [N].
        """
        parents = self._parents
        roots = parents[items]
        while True:
            above = parents[roots]
            if np.array_equal(above, roots):
                break
            parents[roots] = parents[above]  # the path is half as long for whoever comes next
            roots = above
        parents[items] = roots
        return roots

    def unite(self, left: np.ndarray, right: np.ndarray) -> None:
        """Makes one set of the two that ``left[i]`` and ``right[i]`` are in, for every i; both int64 [N]."""
        parents = self._parents
        while True:
            left, right = self.find(left), self.find(right)
            apart = left != right
            left, right = left[apart], right[apart]
            if not len(left):
                return
            # A name only ever gets a lower one above it, so there is no circle. Of several the lowest wins; the others
            # are seen again in the next round, with the new name.
            high, low = np.maximum(left, right), np.minimum(left, right)
            np.minimum.at(parents, high, low)
            # Names that lost may form a chain as long as there are edges: it is halved until it is gone.
            while not np.array_equal(above := parents[parents[high]], parents[high]):
                parents[high] = above

    def unite_where(self, rows: np.ndarray, columns: np.ndarray, mask: np.ndarray) -> None:
        """Makes one set of those of ``rows[i]`` and ``columns[j]`` wherever ``mask[i, j]``.

        Every round takes one edge of every row and of every column (Borůvka's algorithm), so the number of sets that
        still have an edge to another at least halves: a mask of a million edges takes two or three rounds.

        Args:
          rows: int64 [N].
          columns: int64 [M].
          mask: bool [N, M].
        """
        while True:
            across = mask & (self.find(rows)[:, None] != self.find(columns)[None, :])
            with_edge = np.flatnonzero(across.any(axis=1))
            if not len(with_edge):
                return
            self.unite(rows[with_edge], columns[across[with_edge].argmax(axis=1)])
            with_edge = np.flatnonzero(across.any(axis=0))
            self.unite(rows[across[:, with_edge].argmax(axis=0)], columns[with_edge])

    def labels(self) -> np.ndarray:
        """The name of every number's set, int64 [size]."""
        return self.find(np.arange(len(self._parents)))
