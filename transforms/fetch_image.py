"""`FetchImage`: each Sample gets its picture, downloaded and decoded."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import uuid
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_recap.costs import with_cost
from beam_recap.digests import digest_problem
from beam_recap.fetch import FetchResult, FetchSettings, FetchWindow
from beam_recap.images import DecodedImage, DecodeSettings, decode_image
from beam_recap.progress import PROGRESS
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.outcomes import SplitOutcomes, StageOutputs
from transforms.shared_models import shared_model

NAMESPACE = "FetchImage"


class FetchImage(beam.PTransform):
    """Downloads pictures ahead of what is downstream, and decodes them. The order of rows is not kept.

    Input: `Sample` with a URL, or with the picture's bytes (from a tar), which are then only decoded.
    Output: `StageOutputs`; kept rows have ``image``, ``width``, ``height``, ``sha256`` and ``image_format``, and
    ``http_status`` and ``download_bytes`` if they came from the web.

    Args:
      fetch: concurrency, deadline, caps, rules of politeness and of addresses.
      decode: formats and sizes that are accepted, and the size that images are resized to.

    Metrics: ``rows_*``, ``rejected_<reason>``, ``http_status_<n>`` (rows by their last answer), ``fetched_bytes``, and
    the distributions ``image_bytes`` and ``fetch_attempts``.
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
        # One fetcher per process for each use of the transform: two of them in one stage must not wait for each
        # other's memory.
        self._use = uuid.uuid4().hex
        self._fetched_bytes = Metrics.counter(NAMESPACE, "fetched_bytes")
        self._image_bytes = Metrics.distribution(NAMESPACE, "image_bytes")
        self._attempts = Metrics.distribution(NAMESPACE, "fetch_attempts")

    def setup(self) -> None:
        from beam_recap.fetch import Fetcher
        from beam_recap.fetch.local_files import LocalReader

        self._fetcher = shared_model(("fetcher", self._use), lambda: Fetcher(self._fetch))
        self._reader = None
        if self._fetch.allow_local_files:
            max_bytes = self._fetch.max_bytes
            self._reader = shared_model(("local reader", self._use), lambda: LocalReader(max_bytes))
        self._window: FetchWindow[Sample] | None = None

    def start_bundle(self) -> None:
        # A new window each time: what an abandoned bundle left in flight must not come out of this one.
        self._close_window()
        self._window = FetchWindow(self._fetcher, self._reader)

    def process(self, sample: Sample) -> Iterator[Outcome]:
        if sample.image_bytes is not None:
            yield self._decoded(sample, sample.image_bytes)
        elif sample.url is None:
            yield sample.reject(Stage.FETCH, Reason.MISSING_URL)
        else:
            self._window.put(sample, sample.url)
            for finished, result in self._window.ready():
                yield self._outcome(finished, result)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for finished, result in self._window.drain():
            yield GlobalWindows.windowed_value(self._outcome(finished, result))

    def teardown(self) -> None:
        self._close_window()

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _outcome(self, sample: Sample, result: FetchResult) -> Outcome:
        self._attempts.update(result.attempts)
        if result.http_status is not None:
            Metrics.counter(NAMESPACE, f"http_status_{result.http_status}").inc()
        sample = dataclasses.replace(sample, http_status=result.http_status)
        if result.body is None:
            return sample.reject(Stage.FETCH, result.reason or Reason.CONNECTION_ERROR, result.detail)
        self._fetched_bytes.inc(len(result.body))
        if result.http_status is not None:  # else it was a local file
            PROGRESS.fetched(len(result.body))
            sample = dataclasses.replace(sample, download_bytes=len(result.body))
        return self._decoded(sample, result.body)

    def _decoded(self, sample: Sample, data: bytes) -> Outcome:
        started = time.perf_counter()
        outcome = self._decode_row(sample, data)
        return with_cost(outcome, Stage.FETCH, time.perf_counter() - started)

    def _decode_row(self, sample: Sample, data: bytes) -> Outcome:
        self._image_bytes.update(len(data))
        sample = dataclasses.replace(sample, image_bytes=None, sha256=hashlib.sha256(data).hexdigest())
        if sample.expected_digest is not None:
            problem = digest_problem(data, sample.expected_digest, sha256=sample.sha256 or "")
            if problem is not None:
                return sample.reject(Stage.FETCH, Reason.HASH_MISMATCH, problem)
        decoded = decode_image(data, self._decode)
        if not isinstance(decoded, DecodedImage):
            return sample.reject(Stage.FETCH, decoded.reason, decoded.detail)
        return dataclasses.replace(
            sample,
            image=decoded.image,
            width=decoded.width,
            height=decoded.height,
            image_format=decoded.format,
            exif=decoded.exif,
        )
