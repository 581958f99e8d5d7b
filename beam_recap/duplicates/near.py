"""Near duplicates inside a cluster."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from beam_recap.duplicates.components import cosine_components
from beam_recap.duplicates.cosines import Vectors
from beam_recap.duplicates.rows import Decision, DuplicateRow, decide, describe, distinct, rank, short_uid
from beam_recap.records import Reason

# For a row that is linked over others its nearest neighbour is told, which takes as many products as its component has
# rows: that is done up to so many.
_MAX_ROWS_FOR_NEIGHBOURS = 1000


def near_duplicates(rows: Iterable[DuplicateRow], threshold: float) -> list[Decision]:
    """Of the rows that are linked by cosines of at least the threshold, directly or over others, all but the best.

    The cosine is that of the float16 embeddings, exact; a row without one, or with one that is zero or not finite, is
    nobody's neighbour.

    Args:
      rows: of one cluster, which is not looked at.
      threshold: in (0, 1].

    Returns:
      The rows that go, the best first. Each one's detail has the cosine to the row that stays.

    Raises:
      ValueError: embeddings of different sizes, or not of unit length.
    """
    # Ranked, so that the lowest index of a component is the row that stays.
    ranked = sorted((row for row in distinct(rows) if row.embedding is not None), key=rank)
    if len(ranked) < 2:
        return []
    vectors = Vectors(_stack(ranked))
    labels = cosine_components(vectors, threshold)
    gone = np.flatnonzero(labels != np.arange(len(ranked)))
    cosines = vectors.cosines(gone, labels[gone])
    between = _nearest(vectors, labels, gone[cosines < threshold])
    decisions = []
    for index, best, cosine in zip(gone.tolist(), labels[gone].tolist(), cosines.tolist(), strict=True):
        detail = f"cosine {cosine:.4f} to {describe(ranked[best])}"
        if cosine < threshold:
            over = "linked over others"
            if index in between:
                neighbour, nearest = between[index]
                over = f"linked over others, the nearest ({nearest:.4f}) is {short_uid(ranked[neighbour])}"
            detail = f"{over}; {detail}"
        decisions.append(decide(ranked[index], Reason.NEAR_DUPLICATE_IMAGE, detail))
    return decisions


def _stack(rows: list[DuplicateRow]) -> np.ndarray:
    sizes = {len(row.embedding) for row in rows}
    if len(sizes) > 1:
        raise ValueError(f"embeddings of one cluster have different sizes: {sorted(size // 2 for size in sizes)}")
    return np.frombuffer(b"".join(row.embedding for row in rows), dtype="<f2").reshape(len(rows), -1)


def _nearest(vectors: Vectors, labels: np.ndarray, indirect: np.ndarray) -> dict[int, tuple[int, float]]:
    """Of each of the ``indirect`` in a component that is not too large: its nearest neighbour, and the cosine."""
    found: dict[int, tuple[int, float]] = {}
    if not len(indirect):
        return found
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[indirect], side="left")
    ends = np.searchsorted(labels[order], labels[indirect], side="right")
    members_of = {int(start): (int(end), []) for start, end in zip(starts, ends, strict=True)}
    for index, start in zip(indirect.tolist(), starts.tolist(), strict=True):
        members_of[start][1].append(index)
    for start, (end, wanted) in members_of.items():
        if end - start > _MAX_ROWS_FOR_NEIGHBOURS:
            continue
        members = order[start:end]
        cosines = vectors.cosine_table(np.array(wanted), members)
        cosines[np.array(wanted)[:, None] == members[None, :]] = -np.inf  # not itself
        best = cosines.argmax(axis=1)
        for position, (index, member) in enumerate(zip(wanted, best.tolist(), strict=True)):
            found[index] = (int(members[member]), float(cosines[position, member]))
    return found
