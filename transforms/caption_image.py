"""`CaptionImage`: a new caption for each picture, by Beam's RunInference with a LLaVA."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT
from beam_recap.records import Outcome
from transforms.outcomes import SplitOutcomes, StageOutputs

if TYPE_CHECKING:
    from transforms.llava_model_handler import LlavaModelHandler

NAMESPACE = "CaptionImage"


@dataclasses.dataclass(frozen=True, slots=True)
class CaptionModel:
    """Which captioner, and how it is asked.

    ``captioner`` is a folder in Hugging Face form or ``ID@REVISION``; ``batch_size`` is in images.
    """

    captioner: str
    prompt: str = RECAP_PROMPT
    max_new_tokens: int = RECAP_MAX_NEW_TOKENS
    batch_size: int = 16
    device: str = "auto"
    dtype: str = "auto"


class CaptionImage(beam.PTransform):
    """Captions pictures.

    Input: `Sample` with an image. Output: `StageOutputs`; kept rows have ``recaption``, ``recaption_tokens`` and
    ``recaption_truncated``.
    Metrics: ``rows_*``, and RunInference's own in the same namespace. Rejections: ``empty_recaption``,
    ``non_finite``, ``out_of_memory``, ``model_error``.
    """

    def __init__(self, captioner: CaptionModel):
        super().__init__()
        self._captioner = captioner

    def load(self) -> Any:
        """This process's captioner, as the workers will load it. Raises what `Captioner.load` raises."""
        return self._handler().load_model()

    def expand(self, samples: beam.PCollection) -> StageOutputs:
        from apache_beam.ml.inference.base import RunInference

        return (
            samples
            | "Caption" >> RunInference(self._handler())
            # RunInference's output is Any to Beam; this gives it its type back before it is split.
            | "Type" >> beam.Map(_same).with_output_types(Outcome)
            | "Outcomes" >> SplitOutcomes(NAMESPACE)
        )

    def _handler(self) -> LlavaModelHandler:
        # Imported here because apache_beam.ml imports torch, which a run without captions need not load.
        from transforms.llava_model_handler import LlavaModelHandler

        return LlavaModelHandler(**dataclasses.asdict(self._captioner))


def _same(outcome: Outcome) -> Outcome:
    return outcome
