"""The captioner as Beam's RunInference wants it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from beam_recap.costs import with_cost
from beam_recap.isolation import ModelFailure
from beam_recap.models.endpoint_settings import EndpointSettings
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from beam_recap.records import Outcome, Reason, Sample, Stage
from transforms.shared_models import shared_model

if TYPE_CHECKING:
    from beam_recap.models.captions import AnyCaptioner, Caption

NAMESPACE = "CaptionImage"

# Rows are handed over in calls of so many times what is written at once: slots stay full while a call ends.
_CALLS_OF = 4
_DEFAULT_ROWS = 64
_MAX_ROWS = 512  # their pixels are in memory


class LlavaModelHandler(ModelHandler[Sample, Outcome, "AnyCaptioner"]):
    """Captions samples: one outcome per sample, in order.

    It holds plain settings; the model is loaded on the worker. Only the methods of `AnyCaptioner` are called on the
    model, so it may be a proxy of one that lives in another process.

    Metrics: counters ``captioned_images``, ``prompt_tokens``, ``caption_tokens``, ``truncated_captions``,
    ``empty_captions`` and ``out_of_memory_splits``; distributions ``tokens_per_caption``, ``queue_ms``, ``decode_ms``
    and ``slot_occupancy_percent``, each over captions.
    """

    def __init__(
        self,
        captioner: str | None,
        *,
        endpoint: EndpointSettings | None = None,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        prompt: str = RECAP_PROMPT,
        hint: str | None = None,
        max_new_tokens: int = RECAP_MAX_NEW_TOKENS,
        engine: str = "auto",
        batch_size: int | None = None,
        quantization: str | None = None,
        large_model: bool | None = None,
        model_copies: int | None = None,
    ):
        """
        Args:
          captioner: a checkpoint's folder, or ``ID@REVISION`` of the Hugging Face hub; not used with ``endpoint``.
          endpoint: a server that captions; only ``prompt``, ``hint`` and ``max_new_tokens`` matter besides.
          revision: the commit, where it is not part of ``captioner``.
          device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
          dtype: ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``.
          prompt: what the model is asked about every image.
          hint: a sentence that follows the prompt where a sample has a caption, with ``{caption}`` in its place.
          max_new_tokens: longest caption, tokens.
          engine: ``"slots"``, ``"generate"``, or ``"auto"``: slots where they can run the model.
          batch_size: captions written at once; None: as many as suit the device.
          quantization: ``"fp8"``, or None.
          large_model: one copy per machine, which its worker processes share, instead of one in each; None: where it is
            on a GPU, which no second copy would fit.
          model_copies: copies per machine that its processes share in turn; None: one for each GPU.
        """
        # Equal on purpose: between different bounds Beam tries batch sizes out, and times the trials.
        if endpoint is not None:
            batch_size = endpoint.requests
        rows = _DEFAULT_ROWS if batch_size is None else min(_MAX_ROWS, _CALLS_OF * batch_size)
        super().__init__(min_batch_size=rows, max_batch_size=rows)
        self._large_model = large_model
        self._copies = model_copies
        self._endpoint = endpoint
        self._settings: dict[str, Any] = {
            "path_or_id": captioner,
            "revision": revision,
            "device": device,
            "dtype": dtype,
            "prompt": prompt,
            "hint": hint,
            "max_new_tokens": max_new_tokens,
            "engine": engine,
            "batch_size": batch_size,
            "quantization": quantization,
        }

    def load_model(self) -> AnyCaptioner:
        """The worker process's captioner, loaded by whoever asks first; of several copies, another one each time.

        Raises:
          ValueError, FatalModelError: as `load_captioner` and `EndpointCaptioner` say.
        """
        if self._endpoint is not None:
            key = (self._endpoint, *(self._settings[name] for name in ("prompt", "hint", "max_new_tokens")))
            return shared_model(("caption endpoint", *key), lambda: _ask_endpoint(*key))
        from beam_recap.models.load_captioner import load_captioner

        if self.model_copies() > 1:
            return load_captioner(**self._settings)
        return shared_model(("captioner", *self._settings.items()), lambda: load_captioner(**self._settings))

    def run_inference(
        self, batch: Sequence[Sample], model: AnyCaptioner, inference_args: dict[str, Any] | None = None
    ) -> list[Outcome]:
        """Each sample with its recaption, or its rejection; exactly ``len(batch)`` outcomes in order.

        Raises:
          FatalModelError: the device is gone.
        """
        hints = None if self._settings["hint"] is None else [sample.caption for sample in batch]
        started = time.perf_counter()
        results = model.caption([sample.image for sample in batch], hints)
        seconds = (time.perf_counter() - started) / max(1, len(batch))
        _count(results, model.take_splits())
        outcomes = [_outcome(sample, result) for sample, result in zip(batch, results, strict=True)]
        return [with_cost(outcome, Stage.CAPTION, seconds) for outcome in outcomes]

    def share_model_across_processes(self) -> bool:
        """Whether a machine's processes share the model. Asked on the worker, because it depends on its devices."""
        if self._large_model is not None:
            return self._large_model
        return self._copies is not None or self._gpus() > 0

    def model_copies(self) -> int:
        """Copies per machine, where its processes share them. Asked on the worker."""
        return self._copies or max(1, self._gpus())

    def _gpus(self) -> int:
        """How many GPUs of this machine the captioner is meant for."""
        device: str = self._settings["device"]
        if self._endpoint is not None or device == "cpu":
            return 0
        import torch

        return torch.cuda.device_count() if device == "auto" else int(torch.cuda.is_available())

    def update_model_path(self, model_path: str | None = None) -> None:
        """The captioner to load from now on: what RunInference reads from its side input, if it was given one.

        Raises:
          ValueError: a server captions.
        """
        if not model_path:
            return
        if self._endpoint is not None:
            raise ValueError(f"the captioner is a server, {self._endpoint.url}; there is no model to change")
        self._settings |= {"path_or_id": model_path, "revision": None}

    def get_resource_hints(self) -> dict[str, Any]:
        """None: a GPU that only the inference step asks for parts it from the step that makes its batches.

        Whole lists of pictures would then travel between two pools of workers. Ask for it on the whole composite:
        ``CaptionImage(...).with_resource_hints(accelerator=...)``.
        """
        return {}

    def get_num_bytes(self, batch: Sequence[Sample]) -> int:
        """Bytes of pixels (Beam's own way is to pickle the batch)."""
        return sum(sample.image.nbytes for sample in batch if sample.image is not None)

    def get_metrics_namespace(self) -> str:
        """Where RunInference counts."""
        return NAMESPACE


def _ask_endpoint(endpoint: EndpointSettings, prompt: str, hint: str | None, max_new_tokens: int) -> AnyCaptioner:
    from beam_recap.models.chat_endpoint import ChatEndpoint
    from beam_recap.models.endpoint_captioner import EndpointCaptioner

    server = ChatEndpoint(
        endpoint.url,
        endpoint.model,
        max_tokens=max_new_tokens,
        api_key_variable=endpoint.key_variable,
        concurrency=endpoint.requests,
    )
    return EndpointCaptioner(server, prompt, hint)


def _count(results: Sequence[Caption | ModelFailure], splits: int) -> None:
    """Counts here, in the process of the DoFn: where the model lives, nobody would see it."""
    _increase("out_of_memory_splits", splits)
    for result in results:
        _increase("captioned_images", 1)
        if isinstance(result, ModelFailure):
            _increase("empty_captions", int(result.reason == Reason.EMPTY_RECAPTION))
            continue
        _increase("truncated_captions", int(result.truncated))
        if result.tokens is not None:
            _increase("caption_tokens", result.tokens)
            _note("tokens_per_caption", result.tokens)
        if result.trace is not None:
            _increase("prompt_tokens", result.trace.prompt_tokens)
            _note("queue_ms", 1000 * result.trace.queue_s)
            _note("decode_ms", 1000 * result.trace.decode_s)
            if result.trace.occupancy is not None:
                _note("slot_occupancy_percent", 100 * result.trace.occupancy)


def _increase(name: str, by: int) -> None:
    if by:
        Metrics.counter(NAMESPACE, name).inc(by)


def _note(name: str, value: float) -> None:
    Metrics.distribution(NAMESPACE, name).update(round(value))


def _outcome(sample: Sample, result: Any) -> Outcome:
    if isinstance(result, ModelFailure):
        return sample.reject(Stage.CAPTION, result.reason, result.detail)
    return dataclasses.replace(
        sample,
        recaption=result.text,
        recaption_tokens=result.tokens,
        recaption_truncated=result.truncated,
        recaption_hinted=result.hinted,
    )
