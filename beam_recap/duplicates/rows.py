"""What de-duplication needs to know of a row: digests, scores and an embedding, in one to two kilobytes."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from beam_recap.records import MAX_DETAIL_CHARS, Reason, Sample

_DIGEST_BYTES = 16
# Normalising takes quadratic time where thousands of combining marks follow one another; what comes after so many
# characters counts as it is.
_MAX_FOLDED_CHARS = 2_000
_MAX_UID_CHARS = 100  # in a detail


class Place(NamedTuple):
    """Where a row stands: its unit and its index there."""

    unit: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRow:
    """A row that was kept so far. What is None takes no part in the rules that need it.

    Attributes:
      place: its identity; a place that comes twice is one row.
      uid: for people.
      image_digest: sha256 of the image's bytes, 32 bytes.
      row_digest: of URL and caption as they are, 16 bytes; None where either is missing.
      caption_digest: of the caption as `fold_caption` gives it, 16 bytes; None where that is empty.
      similarity: cosine of image and caption; the higher is kept.
      aesthetic: aesthetic score; the higher is kept among equal similarities.
      cluster: the label of its cluster; None is a cluster of its own.
      embedding: of the image, unit length, float16 little-endian [D].
    """

    place: Place
    uid: str
    image_digest: bytes | None = None
    row_digest: bytes | None = None
    caption_digest: bytes | None = None
    similarity: float | None = None
    aesthetic: float | None = None
    cluster: int | None = None
    embedding: bytes | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A row that goes, and why."""

    place: Place
    reason: Reason
    detail: str  # at most 500 characters


def of_sample(sample: Sample, *, cluster: int | None = None) -> DuplicateRow:
    """What is compared of a sample.

    Args:
      sample: with its embedding, where near duplicates are looked for.
      cluster: the label of its cluster.
    """
    url, caption = sample.url, sample.caption
    folded = fold_caption(caption or "")
    return DuplicateRow(
        place=Place(sample.unit, sample.index),
        uid=sample.uid,
        image_digest=None if sample.sha256 is None else bytes.fromhex(sample.sha256),
        row_digest=None if url is None or caption is None else _digest(url, caption),
        caption_digest=_digest(folded) if folded else None,
        similarity=sample.clip_score,
        aesthetic=sample.aesthetic_score,
        cluster=cluster,
        embedding=sample.embedding,
    )


def fold_caption(caption: str) -> str:
    """A caption as the rule of spam compares it: NFKC, case folded, white space collapsed. "" if nothing is left."""
    head, tail = caption[:_MAX_FOLDED_CHARS], caption[_MAX_FOLDED_CHARS:]
    # Folding can undo the normal form: the capital of "ᾳ" folds to two characters.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", head).casefold())
    return " ".join(f"{folded}{tail}".split())


def pack_embedding(embedding: np.ndarray) -> bytes | None:
    """An embedding at unit length as float16, little-endian; None where it has no direction (zero, or not finite).

    Args:
      embedding: floats [D] of any length.
    """
    exact = np.asarray(embedding, dtype=np.float64)
    length = math.sqrt(float(exact @ exact))
    if not 0 < length < math.inf:
        return None
    return (exact / length).astype("<f2").tobytes()


def rank(row: DuplicateRow) -> tuple[float, float, str, Place]:
    """A key that sorts the row to keep first: by similarity, aesthetic score (None is lowest), uid and place."""
    return _descending(row.similarity), _descending(row.aesthetic), row.uid, row.place


def distinct(rows: Iterable[DuplicateRow]) -> list[DuplicateRow]:
    """One row for each place, in no particular order. Of rows that differ at one place a fixed one is taken."""
    found: dict[Place, DuplicateRow] = {}
    for row in rows:
        other = found.setdefault(row.place, row)
        if other is not row and other != row:
            found[row.place] = min(other, row, key=lambda one: (rank(one), repr(one)))
    return list(found.values())


def describe(row: DuplicateRow) -> str:
    """A row's uid and place, for a detail."""
    return f"{short_uid(row)}, row {row.place.index} of {row.place.unit}"


def short_uid(row: DuplicateRow) -> str:
    """A row's uid, cut where it is too long for a detail."""
    return row.uid if len(row.uid) <= _MAX_UID_CHARS else f"{row.uid[: _MAX_UID_CHARS - 1]}…"


def decide(row: DuplicateRow, reason: Reason, detail: str) -> Decision:
    """The decision, its detail bounded."""
    return Decision(row.place, reason, detail[:MAX_DETAIL_CHARS])


def _descending(score: float | None) -> float:
    return math.inf if score is None or math.isnan(score) else -score


def _digest(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))  # or the end of one could count as the beginning of the next
        digest.update(data)
    return digest.digest()
