"""`SharpnessFilter`: a filter of one's own, complete. It drops blurred pictures.

What every filter does: takes `Sample`s, gives each back as it is or as a `Rejection` with a reason and a detail, counts
both, and lets no picture end the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import apache_beam as beam
import numpy as np
from PIL import Image

from beam_recap.isolation import ModelFailure, attempt
from beam_recap.records import Outcome, Sample
from transforms.outcomes import SplitOutcomes, StageOutputs

NAMESPACE = "SharpnessFilter"  # of its counters
STAGE = "sharpness"  # in the column `stage` of rejected/

_SIDE = 512  # px; sharpness depends on the size, so all pictures are judged at this one


class SharpnessReason(StrEnum):
    """Why this filter rejects, in the column `reason` of rejected/."""

    BLURRED = "blurred"


def sharpness(image: np.ndarray) -> float:
    """The variance of the Laplacian (Pech-Pacheco and others, 2000): 0 for a plain area, hundreds for a sharp photo.

    Args:
      image: RGB, uint8 ``[H, W, 3]``.
    """
    grey = Image.fromarray(image).convert("L")
    grey.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(grey, np.float32)
    above, below, left, right = pixels[:-2, 1:-1], pixels[2:, 1:-1], pixels[1:-1, :-2], pixels[1:-1, 2:]
    return float((above + below + left + right - 4 * pixels[1:-1, 1:-1]).var())


class SharpnessFilter(beam.PTransform):
    """Drops blurred pictures.

    Input: `Sample` with an image. Output: `StageOutputs`.

    Args:
      min_sharpness: keep pictures whose `sharpness` is greater; 0 or more.

    Metrics: ``rows_in``, ``rows_kept``, ``rows_rejected``, ``rejected_<reason>``. Rejections: ``blurred``,
    ``out_of_memory``, ``model_error`` (the picture could not be judged).
    """

    def __init__(self, min_sharpness: float = 100.0):
        super().__init__()
        if not min_sharpness >= 0:
            raise ValueError(f"min_sharpness is a variance, 0 or more, got {min_sharpness}; 100 is usual")
        self._min_sharpness = min_sharpness

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        # SplitOutcomes parts kept rows from rejections and counts both.
        return samples | "Judge" >> beam.ParDo(_SharpnessFn(self._min_sharpness)) | SplitOutcomes(NAMESPACE)


class _SharpnessFn(beam.DoFn):
    def __init__(self, min_sharpness: float):
        self._min_sharpness = min_sharpness

    def process(self, sample: Sample) -> Iterator[Outcome]:
        found = attempt(lambda: sharpness(sample.image))  # an exception is this row's alone
        if isinstance(found, ModelFailure):
            yield sample.reject(STAGE, found.reason, found.detail)
        elif not found > self._min_sharpness:
            yield sample.reject(STAGE, SharpnessReason.BLURRED, f"{found:.1f} is not above {self._min_sharpness:g}")
        else:
            yield sample
