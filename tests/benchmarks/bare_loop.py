"""What the main job computes of a tar's rows, as a plain loop in this process: no Beam, no checkpoint, no files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beam_recap.caption_quality import judge_caption
from beam_recap.images import DecodedImage, DecodeSettings, decode_image
from beam_recap.inputs.tar_rows import read_tar_rows
from beam_recap.inputs.units import TAR, Unit
from beam_recap.records import Sample

_MAX_BYTES = 20 * 2**20  # of a picture, as the job's default


class Kept(NamedTuple):
    """What the loop finds of a row that passes."""

    caption: str | None
    sha256: str
    clip_score: float
    aesthetic_score: float
    recaption: str
    recaption_score: float


@dataclass
class _Row:
    sample: Sample
    sha256: str
    image: np.ndarray
    score: Any = None
    aesthetic: float = 0.0
    ocr_text: str | None = None
    recaption: str = ""


@dataclass(frozen=True)
class BareLoop:
    """The stages as one loop, with the job's models, thresholds and batch sizes.

    Args:
      scorer: a `ClipScorer`.
      head: an `AestheticHead`.
      spotter: a `TextSpotter`; None: any text passes.
      captioner: of any kind.
      prompt: what the captioner is asked.
      clip_rows: rows per call of the scorer.
      caption_rows: rows per call of the captioner.
      min_clip_score, min_aesthetic_score: rows pass above these.
    """

    scorer: Any
    head: Any
    spotter: Any
    captioner: Any
    prompt: str
    clip_rows: int
    caption_rows: int
    min_clip_score: float
    min_aesthetic_score: float

    def run(self, tar: Path, rows: int) -> dict[str, Kept]:
        """The first rows of a tar that pass, by key."""
        unit = Unit(str(tar), 0, TAR, limit=rows)
        read = read_tar_rows(unit, url_column=None, caption_column=None, max_bytes=_MAX_BYTES, done=set())
        scored = self._scored(_batches(self._decoded(read), self.clip_rows))
        captioned = self._captioned(_batches(self._without_text(scored), self.caption_rows))
        return dict(self._rescored(_batches(captioned, self.clip_rows)))

    def _decoded(self, rows: Iterable[Any]) -> Iterator[_Row]:
        for row in rows:
            if isinstance(row, Sample) and row.image_bytes is not None:
                sha256 = hashlib.sha256(row.image_bytes).hexdigest()
                decoded = decode_image(row.image_bytes, DecodeSettings())
                if isinstance(decoded, DecodedImage):
                    yield _Row(row, sha256, decoded.image)

    def _scored(self, batches: Iterable[list[_Row]]) -> Iterator[_Row]:
        for batch in batches:
            scores = self.scorer.score([row.image for row in batch], [row.sample.caption for row in batch])
            for row, row.score in zip(batch, scores, strict=True):
                if row.score.score > self.min_clip_score:
                    (row.aesthetic,) = self.head.score([row.score.embedding])
                    if row.aesthetic > self.min_aesthetic_score:
                        yield row

    def _without_text(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        for row in rows:
            if self.spotter is None:
                yield row
                continue
            spotted = self.spotter.spot(row.image)
            if not spotted.has_text:
                row.ocr_text = spotted.text
                yield row

    def _captioned(self, batches: Iterable[list[_Row]]) -> Iterator[_Row]:
        for batch in batches:
            for row, caption in zip(batch, self.captioner.caption([row.image for row in batch]), strict=True):
                row.recaption = caption.text
                yield row

    def _rescored(self, batches: Iterable[list[_Row]]) -> Iterator[tuple[str, Kept]]:
        for batch in batches:
            again = self.scorer.score_captions([row.score.embedding for row in batch], [row.recaption for row in batch])
            for row, new in zip(batch, again, strict=True):
                judge_caption(row.recaption, prompt=self.prompt, hint=None, ocr_text=row.ocr_text)
                found = (row.score.score, row.aesthetic, row.recaption, new.score)
                yield row.sample.key, Kept(row.sample.caption, row.sha256, *found)


def _batches(rows: Iterable[_Row], size: int) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
