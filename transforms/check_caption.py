"""`CheckCaption`: what the text of a new caption says about itself."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_recap.caption_quality import CaptionQuality, flags_of, judge_caption
from beam_recap.records import Outcome, Reason, Sample, Stage

NAMESPACE = "CaptionImage"

_REASONS = {
    "repetition": Reason.REPETITIVE_RECAPTION,
    "refusal": Reason.REFUSAL,
    "prompt_echo": Reason.PROMPT_ECHO,
    "truncated": Reason.TRUNCATED_RECAPTION,
    "unseen_quotes": Reason.UNSEEN_QUOTES,
}


class CheckCaption(beam.PTransform):
    """Looks for loops, refusals, echoes of the prompt and invented quotes; rejects only what it is asked to.

    Input and output: `Outcome`; rejections pass, samples have ``recaption_repetition``, ``recaption_flags`` and
    ``unseen_quotes``.
    Metrics: counters ``captions_with_<flag>``.

    Args:
      prompt: what the captioner was asked.
      reject: names of `caption_quality.FLAGS`.
      hint: the sentence in which the captioner was shown original captions, with ``{caption}`` in their place.
    """

    def __init__(self, prompt: str, reject: tuple[str, ...] = (), hint: str | None = None):
        super().__init__()
        self._prompt = prompt
        self._hint = hint
        self._reject = reject

    def expand(self, outcomes: beam.PCollection) -> beam.PCollection:
        return outcomes | "Check" >> beam.Map(self._check).with_output_types(Outcome)

    def _check(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Sample) or outcome.recaption is None:
            return outcome
        # Where OCR stopped early, a quote that it did not see may well be there.
        ocr_text = outcome.ocr_text if outcome.ocr_complete else None
        hint = self._hint if outcome.recaption_hinted else None
        quality = judge_caption(outcome.recaption, prompt=self._prompt, hint=hint, ocr_text=ocr_text)
        flags = flags_of(quality, outcome.recaption_truncated)
        for flag in flags:
            Metrics.counter(NAMESPACE, f"captions_with_{flag}").inc()
        judged = dataclasses.replace(
            outcome,
            recaption_repetition=quality.repetition,
            recaption_flags=tuple(flags),
            unseen_quotes=None if quality.unseen_quotes is None else tuple(quality.unseen_quotes),
        )
        refused = next((flag for flag in flags if flag in self._reject), None)
        if refused is None:
            return judged
        return judged.reject(Stage.CAPTION, _REASONS[refused], _detail(refused, quality))


def _detail(flag: str, quality: CaptionQuality) -> str:
    if flag == "repetition":
        return f"repeats itself to {quality.repetition:.2f}"
    if flag == "unseen_quotes":
        return f"quotes {', '.join(quality.unseen_quotes or ())}"
    return ""
