"""One CLIP for all processes of a machine: it lives in one of them, and the others prepare pictures and ask.

On a GPU a copy for each process would not fit beside a captioner. What crosses between processes is CLIP's own small
input, not the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_recap.isolation import ModelFailure, run_isolated
from beam_recap.models.clip_scorer import CaptionScore, ClipScore, ClipScorer, prepare_image


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What a process needs to know to prepare pictures, and to name the model."""

    model_id: str
    logit_scale: float
    embedding_dim: int
    batch_size: int
    transform: Any  # of a PIL image to float32 [3, S, S]


class ClipServer:
    """The model's side: nothing but methods, since a proxy has no attributes."""

    def __init__(self, scorer: ClipScorer):
        self._scorer = scorer

    def facts(self) -> ClipFacts:
        """See `ClipFacts`."""
        scorer = self._scorer
        return ClipFacts(
            scorer.model_id, scorer.logit_scale, scorer.embedding_dim(), scorer.batch_size, scorer.transform
        )

    def score(self, pixels: Sequence[np.ndarray], captions: Sequence[str | None]) -> list[ClipScore | ModelFailure]:
        """As `ClipScorer.score`, of pictures that are prepared: float32 ``[3, S, S]``."""
        return self._scorer.score(pixels, captions)

    def score_captions(
        self, embeddings: Sequence[np.ndarray], captions: Sequence[str]
    ) -> list[CaptionScore | ModelFailure]:
        """As `ClipScorer.score_captions`."""
        return self._scorer.score_captions(embeddings, captions)


class SharedClip:
    """The other side, with `ClipScorer`'s methods. Threads may share it.

    Args:
      server: a `ClipServer`, or a proxy of one in another process.
    """

    def __init__(self, server: Any):
        self._server = server
        self._facts: ClipFacts = server.facts()

    @property
    def model_id(self) -> str:
        """As `ClipScorer.model_id`."""
        return self._facts.model_id

    @property
    def logit_scale(self) -> float:
        """As `ClipScorer.logit_scale`."""
        return self._facts.logit_scale

    def embedding_dim(self) -> int:
        """Numbers in an image embedding."""
        return self._facts.embedding_dim

    def score(self, images: Sequence[np.ndarray], captions: Sequence[str | None]) -> list[ClipScore | ModelFailure]:
        """As `ClipScorer.score`."""
        results: list[ClipScore | ModelFailure] = []
        size = self._facts.batch_size
        for start in range(0, len(images), size):
            prepared = run_isolated(images[start : start + size], self._prepare)
            rows = zip(prepared, captions[start : start + size], strict=True)
            good = [(pixels, caption) for pixels, caption in rows if not isinstance(pixels, ModelFailure)]
            scores = iter(self._server.score([pixels for pixels, _ in good], [caption for _, caption in good]))
            results += [one if isinstance(one, ModelFailure) else next(scores) for one in prepared]
        return results

    def embed(self, images: Sequence[np.ndarray]) -> list[np.ndarray | ModelFailure]:
        """As `ClipScorer.embed`."""
        scores = self.score(images, [None] * len(images))
        return [score if isinstance(score, ModelFailure) else score.embedding for score in scores]

    def score_captions(
        self, embeddings: Sequence[np.ndarray], captions: Sequence[str]
    ) -> list[CaptionScore | ModelFailure]:
        """As `ClipScorer.score_captions`."""
        return self._server.score_captions(list(embeddings), list(captions))

    def _prepare(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [prepare_image(self._facts.transform, image).numpy() for image in images]
