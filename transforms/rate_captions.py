"""`RateCaptions`: ratings of both captions by a vision model behind a server, in GPT-4V's place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_recap.isolation import ModelFailure
from beam_recap.judge import JUDGE_MAX_NEW_TOKENS, is_sampled
from beam_recap.models.endpoint_settings import EndpointSettings
from beam_recap.records import Reason, Sample
from transforms.shared_models import shared_model

NAMESPACE = "RateCaptions"

_ROWS = 64  # at once; each has two captions


class RateCaptions(beam.PTransform):
    """Asks the paper's question about a sample of rows. No row is rejected: what is not rated stays null.

    Input and output: `Sample`; sampled ones have ``caption_rating`` and ``recaption_rating``, 1 to 5, where there is
    such a caption and the answer is clear.
    Metrics: counters ``sampled_rows``, ``ratings`` and ``unrated_<reason>``.

    Args:
      endpoint: the server.
      share: of rows that are rated, chosen by their uid, in [0, 1].
    """

    def __init__(self, endpoint: EndpointSettings, share: float = 1.0):
        super().__init__()
        self._endpoint = endpoint
        self._share = share

    def load(self) -> Any:
        """This process's judge, as the workers will make it. Raises what `EndpointJudge` raises."""
        return _load_judge(self._endpoint)

    def expand(self, samples: beam.PCollection) -> beam.PCollection:
        return (
            samples
            | "Batch" >> beam.BatchElements(min_batch_size=_ROWS, max_batch_size=_ROWS)
            | "Rate" >> beam.ParDo(_RateFn(self._endpoint, self._share)).with_output_types(Sample)
        )


class _RateFn(beam.DoFn):
    def __init__(self, endpoint: EndpointSettings, share: float):
        self._endpoint = endpoint
        self._share = share

    def setup(self) -> None:
        self._judge = _load_judge(self._endpoint)

    def process(self, batch: Sequence[Sample]) -> Iterator[Sample]:
        sampled = [sample for sample in batch if is_sampled(sample.uid, self._share)]
        Metrics.counter(NAMESPACE, "sampled_rows").inc(len(sampled))
        images = [sample.image for sample in sampled]
        old = self._judge.judge(images, [sample.caption for sample in sampled])
        new = self._judge.judge(images, [sample.recaption for sample in sampled])
        ratings = {id(sample): (_rating(a), _rating(b)) for sample, a, b in zip(sampled, old, new, strict=True)}
        for sample in batch:
            if id(sample) in ratings:
                caption_rating, recaption_rating = ratings[id(sample)]
                yield dataclasses.replace(sample, caption_rating=caption_rating, recaption_rating=recaption_rating)
            else:
                yield sample


def _rating(result: int | ModelFailure) -> int | None:
    if isinstance(result, ModelFailure):
        if result.reason != Reason.MISSING_CAPTION:
            Metrics.counter(NAMESPACE, f"unrated_{result.reason}").inc()
        return None
    Metrics.counter(NAMESPACE, "ratings").inc()
    return result


def _load_judge(settings: EndpointSettings) -> Any:
    from beam_recap.models.chat_endpoint import ChatEndpoint
    from beam_recap.models.endpoint_judge import EndpointJudge

    def load() -> EndpointJudge:
        server = ChatEndpoint(
            settings.url,
            settings.model,
            max_tokens=JUDGE_MAX_NEW_TOKENS,
            api_key_variable=settings.key_variable,
            flag="--judge_endpoint",
            concurrency=settings.requests,
        )
        return EndpointJudge(server)

    return shared_model(("judge endpoint", settings), load)
