"""`CaptionImage`: a new caption for each picture, by Beam's RunInference with a LLaVA."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from beam_recap.models.endpoint_settings import EndpointSettings
from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from transforms.check_caption import CheckCaption
from transforms.outcomes import SplitOutcomes, StageOutputs

if TYPE_CHECKING:
    from transforms.llava_model_handler import LlavaModelHandler

NAMESPACE = "CaptionImage"


@dataclasses.dataclass(frozen=True, slots=True)
class CaptionModel:
    """Which captioner, and how it is asked.

    ``captioner`` is a folder in Hugging Face form or ``ID@REVISION``; ``endpoint`` a server in its place;
    ``batch_size`` is how many captions are written at once, None for what suits the device.
    """

    captioner: str | None
    endpoint: EndpointSettings | None = None
    prompt: str = RECAP_PROMPT
    max_new_tokens: int = RECAP_MAX_NEW_TOKENS
    engine: str = "auto"
    batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"


class CaptionImage(beam.PTransform):
    """Captions pictures.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows have ``recaption``, ``recaption_tokens``,
    ``recaption_truncated``, and what `CheckCaption` adds.
    Metrics: ``rows_*``; those of `LlavaModelHandler`, `CheckCaption` and RunInference, in the same namespace.
    Rejections: ``empty_recaption``, ``non_finite``, ``out_of_memory``, ``model_error``, and what ``reject`` names of
    `caption_quality.FLAGS`.
    """

    def __init__(self, captioner: CaptionModel, reject: tuple[str, ...] = ()):
        super().__init__()
        self._captioner = captioner
        self._reject = reject

    def load(self) -> Any:
        """This process's captioner, as the workers will load it. Raises what `Captioner.load` raises."""
        return self._handler().load_model()

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        from apache_beam.ml.inference.base import RunInference

        return (
            samples
            | "Caption" >> RunInference(self._handler())
            | "CheckCaption" >> CheckCaption(self._captioner.prompt, self._reject)
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )

    def _handler(self) -> LlavaModelHandler:
        # Imported here because apache_beam.ml imports torch, which a run without captions need not load.
        from transforms.llava_model_handler import LlavaModelHandler

        settings = {field.name: getattr(self._captioner, field.name) for field in dataclasses.fields(CaptionModel)}
        return LlavaModelHandler(**settings)
