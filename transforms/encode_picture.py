"""`EncodePicture`: each Sample's picture as the JPEG that webdataset output holds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_recap.costs import with_cost
from beam_recap.images import encode_image
from beam_recap.isolation import describe_error
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs

NAMESPACE = "EncodePicture"
QUALITY = 95  # img2dataset's default (`encode_quality`)
MAX_SIDE = 65_500  # px; libjpeg's JPEG_MAX_DIMENSION


class EncodePicture(beam.PTransform):
    """Encodes pictures, as the run has resized them.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows also have ``image_bytes``, a JPEG of quality 95
    with the bytes that img2dataset gives the same pixels. What it costs counts as fetching, beside decoding.

    Metrics: ``rows_*``, ``rejected_<reason>``, ``jpeg_bytes``.
    Rejections (of the fetch stage): ``too_elongated`` (a side of more than 65,500 px fits no JPEG), ``out_of_memory``.
    """

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        return samples | "Encode" >> beam.ParDo(_EncodeFn()) | "Outcomes" >> SplitOutcomes(NAMESPACE)


class _EncodeFn(beam.DoFn):
    def __init__(self) -> None:
        self._bytes = Metrics.counter(NAMESPACE, "jpeg_bytes")

    def process(self, sample: Sample) -> Iterator[Outcome]:
        started = time.perf_counter()
        outcome = self._encoded(sample)
        yield with_cost(outcome, Stage.FETCH, time.perf_counter() - started)

    def _encoded(self, sample: Sample) -> Outcome:
        height, width = sample.image.shape[:2]
        if max(width, height) > MAX_SIDE:
            problem = f"{width} x {height} px; a JPEG's sides have at most {MAX_SIDE}"
            return sample.reject(Stage.FETCH, Reason.TOO_ELONGATED, problem)
        try:
            data = encode_image(sample.image, quality=QUALITY)
        except MemoryError as error:
            return sample.reject(Stage.FETCH, Reason.OUT_OF_MEMORY, describe_error(error))
        self._bytes.inc(len(data))
        return dataclasses.replace(sample, image_bytes=data)
