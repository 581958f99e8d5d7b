"""`ScoreMoreClips`: what further CLIP models say of each picture, its caption and its new caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import apache_beam as beam

from beam_recap.isolation import ModelFailure
from beam_recap.models.clip_scorer import ClipScorer
from beam_recap.records import MORE_CLIP_FIELDS, Outcome, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.score_clip import ClipModel

NAMESPACE = "ScoreMoreClips"


class ScoreMoreClips(beam.PTransform):
    """Scores by further models, which filter nothing: rows that are left are few, so they come last.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows have the fields of `MORE_CLIP_FIELDS`, each with
    one number per model, None where there is no caption.

    Args:
      clips: the models, in the order of the numbers.

    Metrics: ``rows_*``. Rejections: ``non_finite``, ``out_of_memory``, ``model_error``.
    """

    def __init__(self, clips: Sequence[ClipModel]):
        super().__init__()
        self._clips = tuple(clips)

    def load(self) -> list[ClipScorer]:
        """This process's scorers, as the workers will load them."""
        return [clip.load() for clip in self._clips]

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        size = self._clips[0].batch_size
        return (
            samples
            | "Batch" >> beam.BatchElements(min_batch_size=size, max_batch_size=size)
            | "Score" >> beam.ParDo(_ScoreFn(self._clips))
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )


class _ScoreFn(beam.DoFn):
    def __init__(self, clips: tuple[ClipModel, ...]):
        self._clips = clips

    def setup(self) -> None:
        self._scorers = [clip.load() for clip in self._clips]

    def process(self, batch: Sequence[Sample]) -> Iterator[Outcome]:
        by_model = [_score(scorer, batch) for scorer in self._scorers]
        for sample, scores in zip(batch, zip(*by_model, strict=True), strict=True):
            failures = [score for score in scores if isinstance(score, ModelFailure)]
            if failures:
                yield sample.reject(Stage.MORE_CLIPS, failures[0].reason, failures[0].detail)
            else:
                columns = dict(zip(MORE_CLIP_FIELDS, zip(*scores, strict=True), strict=True))
                yield dataclasses.replace(sample, **columns)


def _score(scorer: ClipScorer, batch: Sequence[Sample]) -> list[tuple[float | None, ...] | ModelFailure]:
    """One model's numbers of each sample, in the order of `MORE_CLIP_FIELDS`."""
    images = scorer.score([sample.image for sample in batch], [sample.caption for sample in batch])
    asked = [
        number
        for number, (sample, score) in enumerate(zip(batch, images, strict=True))
        if sample.recaption is not None and not isinstance(score, ModelFailure)
    ]
    embeddings = [images[number].embedding for number in asked]
    recaptions = scorer.score_captions(embeddings, [batch[number].recaption for number in asked])
    of_recaption = dict(zip(asked, recaptions, strict=True))
    results: list[tuple[float | None, ...] | ModelFailure] = []
    for number, score in enumerate(images):
        recaption = of_recaption.get(number)
        if isinstance(score, ModelFailure):
            results.append(score)
        elif isinstance(recaption, ModelFailure):
            results.append(recaption)
        else:
            again = (None, None) if recaption is None else (recaption.score, recaption.lost)
            results.append((score.score, score.caption_lost, *again, scorer.logit_scale))
    return results
