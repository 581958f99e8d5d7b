"""`ScoreCLIP`: the cosine of each picture and its caption, and the filter on it."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import apache_beam as beam

from beam_recap.costs import with_cost
from beam_recap.duplicates.rows import pack_embedding
from beam_recap.isolation import ModelFailure
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.shared_models import machine_model, shared_model

if TYPE_CHECKING:
    from beam_recap.models.clip_scorer import ClipScore, ClipScorer
    from beam_recap.models.shared_clip import SharedClip

NAMESPACE = "ScoreCLIP"
_RUN = uuid.uuid4().hex  # of the process that makes the graph; its workers get it with the graph


@dataclasses.dataclass(frozen=True, slots=True)
class ClipModel:
    """Which CLIP: an open_clip name with its weights' tag, or a folder in open_clip's layout."""

    model: str
    pretrained: str | None = None
    device: str = "auto"
    batch_size: int = 32
    per_machine: bool | None = None  # one copy for all processes of a machine; None: where it is on a GPU
    # Another run on the same machine must not find it.
    run: str = dataclasses.field(default=_RUN, compare=False)

    def load(self) -> ClipScorer | SharedClip:
        """This process's scorer. Raises what `ClipScorer.load` raises."""
        return shared_model(("clip", self), self._share if self._is_per_machine() else self._load)

    def _load(self) -> ClipScorer:
        from beam_recap.models.clip_scorer import ClipScorer

        return ClipScorer.load(self.model, self.pretrained, device=self.device, batch_size=self.batch_size)

    def _share(self) -> SharedClip:
        from beam_recap.models.shared_clip import ClipServer, SharedClip

        settings = f"{self.model} {self.pretrained} {self.device} {self.batch_size}"
        name = f"clip-{self.run}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
        return SharedClip(machine_model(name, lambda: ClipServer(self._load())))

    def _is_per_machine(self) -> bool:
        """Asked on the worker, because it depends on its devices."""
        if self.per_machine is not None:
            return self.per_machine
        if self.device == "cpu":
            return False
        import torch

        return torch.cuda.is_available()


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

    def load(self) -> ClipScorer | SharedClip:
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
