"""Rows of de-duplication, and what is to become of them by brute force in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from beam_recap.duplicates.rows import DuplicateRow, Place
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.records import Reason

Gone = dict[Place, Reason]


def row(index: int, *, unit: str = "u", uid: str | None = None, vector: Sequence[float] | None = None, **fields):
    """A row. ``image``, ``source`` and ``caption`` are any text in place of digests."""
    digests = {"image": "image_digest", "source": "row_digest", "caption": "caption_digest"}
    named = {digests.get(name, name): value.encode() if name in digests else value for name, value in fields.items()}
    if vector is not None:
        named["embedding"] = np.array(vector, dtype="<f2").tobytes()
    return DuplicateRow(place=Place(unit, index), uid=f"uid{index}" if uid is None else uid, **named)


def exact_cosine(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Of float16 numbers, by whole numbers; None where either has no direction."""
    if not all(map(math.isfinite, [*left, *right])):
        return None
    first, second = ([int(math.ldexp(float(number), 24)) for number in vector] for vector in (left, right))
    dot, squares, others = (
        math.ldexp(sum(a * b for a, b in zip(x, y, strict=True)), -48)
        for x, y in ((first, second), (first, first), (second, second))
    )
    return dot / math.sqrt(squares * others) if squares and others else None


def brute_components(vectors: Sequence[Sequence[float]], threshold: float) -> list[int]:
    """The lowest index of each one's component."""
    labels = list(range(len(vectors)))
    for i, left in enumerate(vectors):
        for j in range(i):
            cosine = exact_cosine(left, vectors[j])
            if cosine is not None and cosine >= threshold and labels[i] != labels[j]:
                old, new = max(labels[i], labels[j]), min(labels[i], labels[j])
                labels = [new if label == old else label for label in labels]
    return labels


def brute_gone(rows: Iterable[DuplicateRow], settings: DuplicateSettings) -> Gone:
    """Which rows go and why. Rows of the same place must be equal."""
    left = list({one.place: one for one in rows}.values())
    gone: Gone = {}
    if settings.max_same_image is not None:
        for one in left:
            captions = {other.caption_digest for other in left if _same(one, other, "image_digest")} - {None}
            if len(captions) > settings.max_same_image:
                gone[one.place] = Reason.PLACEHOLDER_IMAGE
    if settings.max_same_caption is not None:
        for one in left:
            images = {other.image_digest for other in left if _same(one, other, "caption_digest")} - {None}
            if len(images) > settings.max_same_caption:
                gone.setdefault(one.place, Reason.SPAM_CAPTION)
    left = [one for one in left if one.place not in gone]
    for is_on, reason, field in (
        (settings.rows, Reason.DUPLICATE_ROW, "row_digest"),
        (settings.images, Reason.DUPLICATE_IMAGE, "image_digest"),
    ):
        if is_on:
            left = _keep_best(left, lambda one, field=field: getattr(one, field), reason, gone)
    if settings.similarity is not None:
        clusters = {one.cluster for one in left}
        for cluster in clusters:
            members = [one for one in left if one.cluster == cluster and one.embedding is not None]
            vectors = [np.frombuffer(one.embedding, dtype="<f2").tolist() for one in members]
            labels = brute_components(vectors, settings.similarity)
            label_of = {one.place: label for one, label in zip(members, labels, strict=True)}
            _keep_best(members, lambda one, label_of=label_of: label_of[one.place], Reason.NEAR_DUPLICATE_IMAGE, gone)
    return gone


def _same(one: DuplicateRow, other: DuplicateRow, field: str) -> bool:
    return getattr(one, field) is not None and getattr(one, field) == getattr(other, field)


def _keep_best(
    rows: list[DuplicateRow], key: Callable[[DuplicateRow], object], reason: Reason, gone: Gone
) -> list[DuplicateRow]:
    groups: dict[object, list[DuplicateRow]] = {}
    for one in rows:
        groups.setdefault(key(one), []).append(one)
    kept = []
    for value, group in groups.items():
        if value is None:
            kept += group
            continue
        best = group[0]
        for one in group[1:]:
            if _is_better(one, best):
                best = one
        kept.append(best)
        gone.update({one.place: reason for one in group if one is not best})
    return kept


def _is_better(one: DuplicateRow, other: DuplicateRow) -> bool:
    for mine, others in ((one.similarity, other.similarity), (one.aesthetic, other.aesthetic)):
        if mine != others:
            return others is None or (mine is not None and mine > others)
    return (one.uid, one.place) < (other.uid, other.place)
