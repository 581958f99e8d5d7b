"""`AestheticFilter`: the aesthetic score of each picture, and the filter on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import apache_beam as beam

from beam_recap.isolation import ModelFailure
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.shared_models import shared_model

if TYPE_CHECKING:
    from beam_recap.models.aesthetic_head import AestheticHead

NAMESPACE = "AestheticFilter"


class AestheticFilter(beam.PTransform):
    """Scores the embeddings that `ScoreCLIP` made with an aesthetic head, and drops low scores.

    Input: `Sample` with ``image_embedding``. Output: `StageOutputs`; kept rows have ``aesthetic_score``.

    Args:
      weights: the head's file, ``.pth`` or ``.safetensors``; it belongs to one CLIP model.
      min_score: keep rows whose score is greater; V2 scale, [1, 10]. None keeps all.

    Metrics: ``rows_*``. Rejections: ``low_aesthetic_score``, ``non_finite``.
    """

    def __init__(self, weights: str, *, min_score: float | None = 4.5):
        super().__init__()
        if min_score is not None and not 1 <= min_score <= 10:
            raise ValueError(f"min_score is on the V2 scale of 1 to 10, got {min_score}; the usual threshold is 4.5")
        self._weights = weights
        self._min_score = min_score

    def load(self) -> AestheticHead:
        """This process's head, as the workers will load it. Raises what `AestheticHead.load` raises."""
        return _load(self._weights)

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        return (
            samples
            | "Score" >> beam.ParDo(_AestheticFn(self._weights, self._min_score))
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )


class _AestheticFn(beam.DoFn):
    def __init__(self, weights: str, min_score: float | None):
        self._weights = weights
        self._min_score = min_score

    def setup(self) -> None:
        self._head = _load(self._weights)

    def process(self, sample: Sample) -> Iterator[Outcome]:
        (score,) = self._head.score([sample.image_embedding])
        if isinstance(score, ModelFailure):
            yield sample.reject(Stage.AESTHETIC, score.reason, score.detail)
            return
        scored = dataclasses.replace(sample, aesthetic_score=score)
        if self._min_score is not None and not score > self._min_score:
            detail = f"{score:.4f} is not above {self._min_score:g}"
            yield scored.reject(Stage.AESTHETIC, Reason.LOW_AESTHETIC_SCORE, detail)
        else:
            yield scored


def _load(weights: str) -> AestheticHead:
    from beam_recap.models.aesthetic_head import AestheticHead

    return shared_model(("aesthetic", weights), lambda: AestheticHead.load(weights))
