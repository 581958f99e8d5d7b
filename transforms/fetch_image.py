"""`FetchImage`: each Sample gets its picture, downloaded and decoded."""

from __future__ import annotations

import dataclasses
import hashlib
import queue
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_recap.fetch import FetchResult, FetchSettings
from beam_recap.images import DecodedImage, DecodeSettings, decode_image, encode_thumbnail
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.shared_models import shared_model

NAMESPACE = "FetchImage"


class FetchImage(beam.PTransform):
    """Downloads pictures ahead of what is downstream, and decodes them. The order of rows is not kept.

    Input: `Sample` with a URL, or with the picture's bytes (from a tar), which are then only decoded.
    Output: `StageOutputs`; kept rows have ``image``, ``width``, ``height``, ``sha256`` and ``image_format``.

    Args:
      fetch: concurrency, deadline, caps and address rules.
      decode: sizes that are accepted, and the size that images are shrunk to.

    Metrics: ``rows_*``, ``fetched_bytes``, and the distributions ``image_bytes`` and ``fetch_attempts``.
    Rejections: every `Reason` of fetching and decoding.
    """

    def __init__(self, fetch: FetchSettings | None = None, decode: DecodeSettings | None = None):
        super().__init__()
        self._fn = _FetchFn(fetch or FetchSettings(), decode or DecodeSettings())

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        return samples | "Fetch" >> beam.ParDo(self._fn) | "Outcomes" >> SplitOutcomes(NAMESPACE)


class _FetchFn(beam.DoFn):
    def __init__(self, fetch: FetchSettings, decode: DecodeSettings):
        self._fetch = fetch
        self._decode = decode
        self._fetched_bytes = Metrics.counter(NAMESPACE, "fetched_bytes")
        self._image_bytes = Metrics.distribution(NAMESPACE, "image_bytes")
        self._attempts = Metrics.distribution(NAMESPACE, "fetch_attempts")

    def setup(self) -> None:
        from beam_recap.fetch import Fetcher

        self._fetcher = shared_model(("fetcher", self._fetch), lambda: Fetcher(self._fetch))

    def start_bundle(self) -> None:
        # A new queue each time: what an abandoned bundle left in flight must not come out of this one.
        self._finished: queue.SimpleQueue[tuple[Sample, FetchResult]] = queue.SimpleQueue()
        self._in_flight = 0

    def process(self, sample: Sample) -> Iterator[Outcome]:
        if sample.image_bytes is not None:
            yield self._decoded(sample, sample.image_bytes)
            return
        if sample.url is None:
            yield sample.reject(Stage.FETCH, Reason.MISSING_URL)
            return
        finished = self._finished
        self._fetcher.submit(sample.url, lambda result: finished.put((sample, result)))
        self._in_flight += 1
        while self._in_flight:
            try:
                # Full: wait for one. Else take what is there and go on to the next row.
                sample_and_result = finished.get(block=self._in_flight >= self._fetch.concurrency)
            except queue.Empty:
                break
            self._in_flight -= 1
            yield self._outcome(*sample_and_result)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._in_flight:
            sample_and_result = self._finished.get()
            self._in_flight -= 1
            yield GlobalWindows.windowed_value(self._outcome(*sample_and_result))

    def _outcome(self, sample: Sample, result: FetchResult) -> Outcome:
        self._attempts.update(result.attempts)
        if result.body is None:
            return sample.reject(Stage.FETCH, result.reason or Reason.CONNECTION_ERROR, result.detail)
        self._fetched_bytes.inc(len(result.body))
        return self._decoded(sample, result.body)

    def _decoded(self, sample: Sample, data: bytes) -> Outcome:
        self._image_bytes.update(len(data))
        sample = dataclasses.replace(sample, image_bytes=None, sha256=hashlib.sha256(data).hexdigest())
        decoded = decode_image(data, self._decode)
        if not isinstance(decoded, DecodedImage):
            return sample.reject(Stage.FETCH, decoded.reason, decoded.detail)
        return dataclasses.replace(
            sample,
            image=decoded.image,
            width=decoded.width,
            height=decoded.height,
            image_format=decoded.format,
            thumbnail=None if sample.thumbnail is None else encode_thumbnail(decoded.image),
        )
