"""`CaptionImage`: a new caption for each picture, by Beam's RunInference with a LLaVA."""

from __future__ import annotations

import dataclasses
import uuid
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
    ``batch_size`` is how many captions are written at once, None for what suits the device; ``hint`` is a sentence that
    follows the prompt, with ``{caption}`` in place of a row's original caption; ``copies`` is
    how many a machine's worker processes share, None for one in each, or one for each GPU.
    """

    captioner: str | None
    endpoint: EndpointSettings | None = None
    prompt: str = RECAP_PROMPT
    hint: str | None = None
    max_new_tokens: int = RECAP_MAX_NEW_TOKENS
    engine: str = "auto"
    batch_size: int | None = None
    quantization: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    copies: int | None = None


class CaptionImage(beam.PTransform):
    """Captions pictures.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows have ``recaption``, ``recaption_tokens``,
    ``recaption_truncated``, with a hint ``recaption_hinted``, and what `CheckCaption` adds.
    On Dataflow, ``.with_resource_hints(accelerator="type:nvidia-l4;count:1;install-nvidia-driver")`` asks for a GPU for
    all of its steps.

    Metrics: ``rows_*``; those of `LlavaModelHandler`, `CheckCaption` and RunInference, in the same namespace.
    Rejections: ``empty_recaption``, ``non_finite``, ``out_of_memory``, ``model_error``, and what ``reject`` names of
    `caption_quality.FLAGS`.
    """

    def __init__(self, captioner: CaptionModel, reject: tuple[str, ...] = ()):
        super().__init__()
        self._captioner = captioner
        self._reject = reject

    def load(self) -> Any:
        """This process's captioner, as the workers will load it; None if they make copies of their own.

        Raises:
          ValueError, FatalModelError: as `LlavaModelHandler.load_model` says.
        """
        handler = self._handler()
        captioner = handler.load_model()
        return captioner if handler.model_copies() == 1 else None

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        from apache_beam.ml.inference.base import RunInference

        return (
            samples
            # Processes find a shared model by this name: another run on the same machine must not find it.
            | "Caption" >> RunInference(self._handler(), model_identifier=f"captioner-{uuid.uuid4().hex}")
            | "CheckCaption" >> CheckCaption(self._captioner.prompt, self._reject, self._captioner.hint)
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )

    def _handler(self) -> LlavaModelHandler:
        # Imported here because apache_beam.ml imports torch, which a run without captions need not load.
        from transforms.llava_model_handler import LlavaModelHandler

        settings = {field.name: getattr(self._captioner, field.name) for field in dataclasses.fields(CaptionModel)}
        return LlavaModelHandler(model_copies=settings.pop("copies"), **settings)
