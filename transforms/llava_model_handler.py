"""The captioner as Beam's RunInference wants it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.ml.inference.base import ModelHandler

from beam_recap.isolation import ModelFailure
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from beam_recap.records import Outcome, Sample, Stage
from transforms.shared_models import shared_model

if TYPE_CHECKING:
    from beam_recap.models.captioner import Captioner


class LlavaModelHandler(ModelHandler[Sample, Outcome, "Captioner"]):
    """Captions samples: one outcome per sample, in order.

    It holds plain settings; the model is loaded on the worker. Only ``caption`` is called on the model, so the model
    may be a proxy of one that lives in another process.
    """

    def __init__(
        self,
        captioner: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        prompt: str = RECAP_PROMPT,
        max_new_tokens: int = RECAP_MAX_NEW_TOKENS,
        batch_size: int = 16,
        large_model: bool = False,
    ):
        """
        Args:
          captioner: a checkpoint's folder, or ``ID@REVISION`` of the Hugging Face hub.
          revision: the commit, where it is not part of ``captioner``.
          device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
          dtype: ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``.
          prompt: what the model is asked about every image.
          max_new_tokens: longest caption, tokens.
          batch_size: images per batch; smaller ones only at a bundle's end.
          large_model: load one copy per machine, in a process of its own, instead of one per worker process.
        """
        # Equal on purpose: between different bounds Beam tries batch sizes out, and times the trials.
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size, large_model=large_model)
        self._settings: dict[str, Any] = {
            "path_or_id": captioner,
            "revision": revision,
            "device": device,
            "dtype": dtype,
            "prompt": prompt,
            "max_new_tokens": max_new_tokens,
            "batch_size": batch_size,
        }

    def load_model(self) -> Captioner:
        """The worker process's captioner, loaded by whoever asks first.

        Raises:
          ValueError, FatalModelError: as `Captioner.load` says.
        """
        from beam_recap.models.captioner import Captioner

        return shared_model(("captioner", *self._settings.items()), lambda: Captioner.load(**self._settings))

    def run_inference(
        self, batch: Sequence[Sample], model: Captioner, inference_args: dict[str, Any] | None = None
    ) -> list[Outcome]:
        """Each sample with its recaption, or its rejection; exactly ``len(batch)`` outcomes in order.

        Raises:
          FatalModelError: the device is gone.
        """
        results = model.caption([sample.image for sample in batch])
        return [_outcome(sample, result) for sample, result in zip(batch, results, strict=True)]

    def get_num_bytes(self, batch: Sequence[Sample]) -> int:
        """Bytes of pixels (Beam's own way is to pickle the batch)."""
        return sum(sample.image.nbytes for sample in batch if sample.image is not None)

    def get_metrics_namespace(self) -> str:
        """Where RunInference counts."""
        return "CaptionImage"


def _outcome(sample: Sample, result: Any) -> Outcome:
    if isinstance(result, ModelFailure):
        return sample.reject(Stage.CAPTION, result.reason, result.detail)
    return dataclasses.replace(
        sample,
        recaption=result.text,
        recaption_tokens=result.tokens,
        recaption_truncated=result.truncated,
    )
