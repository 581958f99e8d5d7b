"""`OCRFilter`: the text that is visible in each picture, and the filter on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from beam_recap.costs import with_cost
from beam_recap.isolation import ModelFailure, run_isolated
from beam_recap.ocr import OCRSettings
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.shared_models import shared_model

NAMESPACE = "OCRFilter"


class OCRFilter(beam.PTransform):
    """Spots text in pictures and drops those with more of it than allowed.

    A picture that the engine cannot analyse is rejected, never taken for empty.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows have the ``ocr_*`` fields.

    Args:
      settings: the text spotter's operating point.
      max_boxes: accepted text boxes that a kept row may have. 0: no visible text. None keeps all.

    Metrics: ``rows_*``. Rejections: ``has_text``, ``out_of_memory``, ``model_error``.
    """

    def __init__(self, settings: OCRSettings | None = None, *, max_boxes: int | None = 0):
        super().__init__()
        settings = settings or OCRSettings()
        if max_boxes is not None and max_boxes > 0 and not settings.full_text:
            raise ValueError(
                "max_boxes above 0 needs settings with full_text=True: else reading stops at the first text"
            )
        self._fn = _OCRFn(settings, max_boxes)

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        return samples | "Spot" >> beam.ParDo(self._fn) | "Outcomes" >> SplitOutcomes(NAMESPACE)


class _OCRFn(beam.DoFn):
    def __init__(self, settings: OCRSettings, max_boxes: int | None):
        self._settings = settings
        self._max_boxes = max_boxes

    def setup(self) -> None:
        def load():
            from beam_recap.ocr.text_spotter import TextSpotter

            return TextSpotter(self._settings)

        self._spotter = shared_model(("ocr", self._settings), load)

    def process(self, sample: Sample) -> Iterator[Outcome]:
        started = time.perf_counter()
        (found,) = run_isolated([sample.image], lambda images: [self._spotter.spot(image) for image in images])
        yield with_cost(self._outcome(sample, found), Stage.OCR, time.perf_counter() - started)

    def _outcome(self, sample: Sample, found: Any) -> Outcome:
        if isinstance(found, ModelFailure):
            return sample.reject(Stage.OCR, found.reason, found.detail)
        spotted = dataclasses.replace(
            sample,
            ocr_has_text=found.has_text,
            ocr_text=found.text,
            ocr_boxes=found.boxes,
            ocr_confidence=found.confidence,
            ocr_area=found.area,
            ocr_complete=found.complete,
        )
        if self._max_boxes is not None and found.has_text and (self._max_boxes == 0 or found.boxes > self._max_boxes):
            return spotted.reject(Stage.OCR, Reason.HAS_TEXT, found.text or f"{found.unreadable} unreadable lines")
        return spotted
