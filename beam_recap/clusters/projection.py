"""From embeddings to the features that are clustered: PCA, in numbers that no neighbouring row can change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beam_recap.clusters.steady_sums import FLOAT64_ROUNDING, sum_pairs, sum_rows

_CHUNK_NUMBERS = 1 << 22
_TINY = 2.0**-1000  # for what may be lost of numbers too small for float64


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Makes features of embeddings: ``(embedding - mean) @ components.T``, centred and not whitened.

    Features are rounded to float16, as the authors of the text-debiased dataset store theirs; without a PCA they are
    the embeddings in float16, which is what embedding files hold.

    Attributes:
      mean: float64 ``[D]``, scikit-learn's ``mean_``; None without a PCA.
      components: float64 ``[d, D]``, scikit-learn's ``components_``; None without a PCA.
      normalise: divide each embedding by its length first. Whether the authors did is not published; their code loads
        features and does not. The embeddings that runs write have length 1 anyway.
    """

    mean: np.ndarray | None = None
    components: np.ndarray | None = None
    normalise: bool = False

    def features(self, embeddings: np.ndarray) -> np.ndarray:
        """Features of embeddings, each row's its own whatever rows come with it.

        Args:
          embeddings: finite floats ``[N, D]``.

        Returns:
          float16 ``[N, d]``.

        Raises:
          ValueError: numbers that are not finite, or too large for float16; the message names the row.
        """
        rows = max(1, _CHUNK_NUMBERS // max(embeddings.shape[1], 1))
        parts = [self._features(embeddings[at : at + rows], at) for at in range(0, len(embeddings), rows)]
        width = embeddings.shape[1] if self.components is None else len(self.components)
        return np.concatenate([np.empty((0, width), np.float16), *parts])

    def _features(self, embeddings: np.ndarray, start: int) -> np.ndarray:
        prepared = self.prepare(embeddings)
        _check_finite(prepared, start, "is not finite")
        with np.errstate(over="ignore"):
            if self.mean is None or self.components is None:
                features = prepared.astype(np.float16)
            else:
                features = _project(prepared - self.mean, self.components)
        _check_finite(features, start, "has features too large for float16")
        features += np.float16(0)  # -0 is 0
        return features

    def prepare(self, embeddings: np.ndarray) -> np.ndarray:
        """What the PCA is fitted on: the embeddings in float64 ``[N, D]``, each of length 1 if so asked."""
        prepared = np.array(embeddings, np.float64, order="C")
        if self.normalise:
            lengths = np.sqrt(sum_rows(prepared * prepared))
            prepared /= np.where(lengths == 0, 1, lengths)[:, None]
        return prepared


def _project(centred: np.ndarray, components: np.ndarray) -> np.ndarray:
    """float16 of ``centred @ components.T`` ``[N, d]``."""
    product = centred @ components.T
    # How far a sum in any order can be from another: twice what it can be from the truth, and twice that to be safe.
    sizes = np.sqrt(np.einsum("nd,nd->n", centred, centred))[:, None] * np.sqrt(
        np.einsum("nd,nd->n", components, components)
    )
    bound = 4 * (components.shape[1] + 8) * FLOAT64_ROUNDING * sizes + _TINY
    features = (product - bound).astype(np.float16)
    rows, places = np.nonzero(features != (product + bound).astype(np.float16))
    if len(rows):  # about one number in a billion
        sums = sum_pairs(lambda row, place: centred[row] * components[place], rows, places, components.shape[1])
        features[rows, places] = sums.astype(np.float16)
    return features


def _check_finite(numbers: np.ndarray, start: int, problem: str) -> None:
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if bad.size:
        raise ValueError(f"the embedding in row {start + int(bad[0])} {problem}")
