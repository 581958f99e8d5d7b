"""`AestheticFilter`: the aesthetic score of each picture, and the filter on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from beam_recap.costs import with_cost
from beam_recap.isolation import ModelFailure
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.score_clip import ClipModel
from transforms.shared_models import shared_model

if TYPE_CHECKING:
    from beam_recap.models.aesthetic_head import AestheticHead
    from beam_recap.models.clip_scorer import ClipScorer

NAMESPACE = "AestheticFilter"


class AestheticFilter(beam.PTransform):
    """Scores pictures with an aesthetic head, and drops low scores.

    Input: `Sample` with ``image_embedding``, or with an image where the head has a CLIP model of its own. Output:
    `StageOutputs`; kept rows have ``aesthetic_score``.

    Args:
      weights: the head's file, ``.pth`` or ``.safetensors``; it belongs to one CLIP model.
      min_score: keep rows whose score is greater; in [1, 10]. None keeps all.
      version: the scale of scores and threshold, ``"v2"`` or ``"v1"``; see `AestheticHead.load`.
      clip: embeds pictures for the head; None: the embeddings are those that `ScoreCLIP` made.

    Metrics: ``rows_*``. Rejections: ``low_aesthetic_score``, ``non_finite``; with a model of its own ``out_of_memory``
    and ``model_error``.
    """

    def __init__(
        self, weights: str, *, min_score: float | None = 4.5, version: str = "v2", clip: ClipModel | None = None
    ):
        super().__init__()
        if min_score is not None and not 1 <= min_score <= 10:
            raise ValueError(f"min_score is on a scale of 1 to 10, got {min_score}; the usual threshold is 4.5 (V2)")
        self._weights = weights
        self._min_score = min_score
        self._version = version
        self._clip = clip

    def load(self) -> AestheticHead:
        """This process's head, as the workers will load it. Raises what `AestheticHead.load` raises."""
        return _load(self._weights, self._version)

    def load_clip(self) -> ClipScorer | None:
        """This process's model that embeds for the head; None if `ScoreCLIP` does."""
        return None if self._clip is None else self._clip.load()

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        if self._clip is None:
            scored = samples | "Score" >> beam.ParDo(_AestheticFn(self._weights, self._version, self._min_score))
        else:
            size = self._clip.batch_size
            scored = (
                samples
                | "Batch" >> beam.BatchElements(min_batch_size=size, max_batch_size=size)
                | "EmbedAndScore"
                >> beam.ParDo(_EmbedAndScoreFn(self._weights, self._version, self._min_score, self._clip))
            )
        return scored | "Outcomes" >> SplitOutcomes(NAMESPACE)


class _AestheticFn(beam.DoFn):
    def __init__(self, weights: str, version: str, min_score: float | None):
        self._weights = weights
        self._version = version
        self._min_score = min_score

    def setup(self) -> None:
        self._head = _load(self._weights, self._version)

    def process(self, sample: Sample) -> Iterator[Outcome]:
        started = time.perf_counter()
        outcome = self._judge(sample, sample.image_embedding)
        yield with_cost(outcome, Stage.AESTHETIC, time.perf_counter() - started)

    def _judge(self, sample: Sample, embedding: Any) -> Outcome:
        (score,) = self._head.score([embedding])
        if isinstance(score, ModelFailure):
            return sample.reject(Stage.AESTHETIC, score.reason, score.detail)
        scored = dataclasses.replace(sample, aesthetic_score=score)
        if self._min_score is not None and not score > self._min_score:
            detail = f"{score:.4f} is not above {self._min_score:g}"
            return scored.reject(Stage.AESTHETIC, Reason.LOW_AESTHETIC_SCORE, detail)
        return scored


class _EmbedAndScoreFn(_AestheticFn):
    def __init__(self, weights: str, version: str, min_score: float | None, clip: ClipModel):
        super().__init__(weights, version, min_score)
        self._clip = clip

    def setup(self) -> None:
        super().setup()
        self._scorer = self._clip.load()

    def process(self, batch: Sequence[Sample]) -> Iterator[Outcome]:
        started = time.perf_counter()
        embeddings = self._scorer.embed([sample.image for sample in batch])
        outcomes = [
            sample.reject(Stage.AESTHETIC, embedding.reason, embedding.detail)
            if isinstance(embedding, ModelFailure)
            else self._judge(sample, embedding)
            for sample, embedding in zip(batch, embeddings, strict=True)
        ]
        seconds = (time.perf_counter() - started) / len(batch)
        for outcome in outcomes:
            yield with_cost(outcome, Stage.AESTHETIC, seconds)


def _load(weights: str, version: str) -> AestheticHead:
    from beam_recap.models.aesthetic_head import AestheticHead

    return shared_model(("aesthetic", weights, version), lambda: AestheticHead.load(weights, version))
