"""`RescoreCaption`: the cosine of each picture and its new caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import apache_beam as beam

from beam_recap.isolation import ModelFailure
from beam_recap.records import Outcome, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.score_clip import ClipModel

NAMESPACE = "RescoreCaption"


class RescoreCaption(beam.PTransform):
    """Scores new captions with the embeddings that `ScoreCLIP` made; the pictures are not seen again.

    Input: `Sample` with ``image_embedding`` and ``recaption``. Output: `StageOutputs`; kept rows have
    ``recaption_clip_score``, ``recaption_lost`` and ``clip_logit_scale``.
    Metrics: ``rows_*``. Rejections: ``non_finite``, ``out_of_memory``, ``model_error``.
    """

    def __init__(self, clip: ClipModel):
        super().__init__()
        self._clip = clip

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        size = self._clip.batch_size
        return (
            samples
            | "Batch" >> beam.BatchElements(min_batch_size=size, max_batch_size=size)
            | "Score" >> beam.ParDo(_RescoreFn(self._clip))
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )


class _RescoreFn(beam.DoFn):
    def __init__(self, clip: ClipModel):
        self._clip = clip

    def setup(self) -> None:
        self._scorer = self._clip.load()
        self._logit_scale = self._scorer.logit_scale

    def process(self, batch: Sequence[Sample]) -> Iterator[Outcome]:
        embeddings = [sample.image_embedding for sample in batch]
        scores = self._scorer.score_captions(embeddings, [sample.recaption for sample in batch])
        for sample, score in zip(batch, scores, strict=True):
            if isinstance(score, ModelFailure):
                yield sample.reject(Stage.RESCORE, score.reason, score.detail)
            else:
                yield dataclasses.replace(
                    sample,
                    recaption_clip_score=score.score,
                    recaption_lost=score.lost,
                    clip_logit_scale=self._logit_scale,
                )
