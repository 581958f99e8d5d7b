"""A captioner and a CLIP that take next to no time: what is left to measure is everything else."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from unittest import mock

import numpy as np

from beam_recap.models.captions import Caption
from beam_recap.models.clip_scorer import CaptionScore, ClipScore

_DIMENSIONS = 64
_WORDS = 62  # mean tokens of a caption in Recap-DataComp-1B's paper


class LightClip:
    """Stands in for a `ClipScorer`: embeds colours, and scores by digests of captions."""

    logit_scale = 100.0

    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return _DIMENSIONS

    def score(self, images: Sequence[np.ndarray], captions: Sequence[str | None]) -> list[ClipScore]:
        """See `ClipScorer.score`."""
        return [
            ClipScore(None if caption is None else _score(caption), None if caption is None else 0.0, _embed(image))
            for image, caption in zip(images, captions, strict=True)
        ]

    def score_captions(self, embeddings: Sequence[np.ndarray], captions: Sequence[str]) -> list[CaptionScore]:
        """See `ClipScorer.score_captions`."""
        return [CaptionScore(_score(caption), 0.0) for _, caption in zip(embeddings, captions, strict=True)]


class LightCaptioner:
    """Stands in for a captioner: writes numbers, as many as the paper's captions have tokens, no two captions alike."""

    def __init__(self) -> None:
        self._written = 0

    def caption(self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None) -> list[Caption]:
        """See `AnyCaptioner.caption`."""
        first, self._written = self._written, self._written + len(images)
        return [Caption(_text(number), _WORDS, False) for number in range(first, self._written)]

    def take_splits(self) -> int:
        """See `AnyCaptioner.take_splits`."""
        return 0


@contextlib.contextmanager
def light_models() -> Iterator[None]:
    """While it is open, this process loads these in place of any CLIP and any captioner."""
    with (
        mock.patch("beam_recap.models.clip_scorer.ClipScorer.load", lambda *_, **__: LightClip()),
        mock.patch("beam_recap.models.load_captioner.load_captioner", lambda *_, **__: LightCaptioner()),
    ):
        yield


def _embed(image: np.ndarray) -> np.ndarray:
    numbers = np.resize(image[0], _DIMENSIONS).astype(np.float32) + 1
    return numbers / np.linalg.norm(numbers)


def _score(caption: str) -> float:
    """A cosine, in [0, 0.5)."""
    return int.from_bytes(hashlib.blake2b(caption.encode(), digest_size=2).digest()) / 2**17


def _text(number: int) -> str:
    return " ".join(str(number * _WORDS + word) for word in range(_WORDS))
