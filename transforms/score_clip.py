"""`ScoreCLIP`: the cosine of each picture and its caption, and the filter on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import apache_beam as beam

from beam_recap.costs import with_cost
from beam_recap.duplicates.rows import pack_embedding
from beam_recap.isolation import ModelFailure
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.shared_models import shared_model

if TYPE_CHECKING:
    from beam_recap.models.clip_scorer import ClipScore, ClipScorer

NAMESPACE = "ScoreCLIP"


@dataclasses.dataclass(frozen=True, slots=True)
class ClipModel:
    """Which CLIP: an open_clip name with its weights' tag, or a folder in open_clip's layout."""

    model: str
    pretrained: str | None = None
    device: str = "auto"
    batch_size: int = 32

    def load(self) -> ClipScorer:
        """This process's scorer. Raises what `ClipScorer.load` raises."""

        def load() -> ClipScorer:
            from beam_recap.models.clip_scorer import ClipScorer

            return ClipScorer.load(self.model, self.pretrained, device=self.device, batch_size=self.batch_size)

        return shared_model(("clip", self), load)


class ScoreCLIP(beam.PTransform):
    """Scores pictures against their original captions.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows have ``image_embedding``, and ``clip_score`` and
    ``caption_lost`` where there is a caption.

    Args:
      clip: the model.
      min_score: keep rows whose cosine is greater; in [-1, 1]. None keeps all.
      keep_embeddings: also set ``embedding``, which goes into the checkpoint with kept rows.

    Metrics: ``rows_*``. Rejections: ``low_clip_score``, ``missing_caption`` (with a threshold), ``non_finite``,
    ``out_of_memory``, ``model_error``.
    """

    def __init__(self, clip: ClipModel, *, min_score: float | None = None, keep_embeddings: bool = False):
        super().__init__()
        if min_score is not None and not -1 <= min_score <= 1:
            raise ValueError(f"min_score is a cosine in [-1, 1], got {min_score}")
        self._clip = clip
        self._min_score = min_score
        self._keep_embeddings = keep_embeddings

    def load(self) -> ClipScorer:
        """This process's scorer, as the workers will load it."""
        return self._clip.load()

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        size = self._clip.batch_size
        return (
            samples
            # A fixed size: Beam's own estimate grows without bound where it cannot see the cost.
            | "Batch" >> beam.BatchElements(min_batch_size=size, max_batch_size=size)
            | "Score" >> beam.ParDo(_ScoreFn(self._clip, self._min_score, self._keep_embeddings))
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )


class _ScoreFn(beam.DoFn):
    def __init__(self, clip: ClipModel, min_score: float | None, keep_embeddings: bool):
        self._clip = clip
        self._min_score = min_score
        self._keep_embeddings = keep_embeddings

    def setup(self) -> None:
        self._scorer = self._clip.load()

    def process(self, batch: Sequence[Sample]) -> Iterator[Outcome]:
        started = time.perf_counter()
        scores = self._scorer.score([sample.image for sample in batch], [sample.caption for sample in batch])
        seconds = (time.perf_counter() - started) / len(batch)
        for sample, score in zip(batch, scores, strict=True):
            yield with_cost(self._outcome(sample, score), Stage.CLIP, seconds)

    def _outcome(self, sample: Sample, score: ClipScore | ModelFailure) -> Outcome:
        if isinstance(score, ModelFailure):
            return sample.reject(Stage.CLIP, score.reason, score.detail)
        scored = dataclasses.replace(
            sample,
            image_embedding=score.embedding,
            clip_score=score.score,
            caption_lost=score.caption_lost,
            embedding=pack_embedding(score.embedding) if self._keep_embeddings else None,
        )
        return self._judged(scored)

    def _judged(self, sample: Sample) -> Outcome:
        if self._min_score is None:
            return sample
        if sample.clip_score is None:
            return sample.reject(Stage.CLIP, Reason.MISSING_CAPTION, "without a caption there is no score to filter by")
        if not sample.clip_score > self._min_score:
            detail = f"{sample.clip_score:.4f} is not above {self._min_score:g}"
            return sample.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE, detail)
        return sample
