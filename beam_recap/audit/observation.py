"""What the audit keeps of one row."""

from __future__ import annotations

from dataclasses import dataclass

from beam_recap.ocr.text_rate import TextRates, text_rates, words
from beam_recap.records import Rejection, Sample

NO_OCR = "no OCR result"  # why a row that was finished all the same could not be judged


@dataclass(frozen=True, slots=True)
class CaptionOverlap:
    """How much of a caption is written in its picture: the rates, and what they divide.

    Attributes:
      rates: the three rates; None where the caption has no words of that kind.
      strict_words: distinct words of the caption between spaces.
      words: distinct normalised words, those of the other two rates.
    """

    rates: TextRates
    strict_words: int
    words: int

    @classmethod
    def of(cls, caption: str | None, ocr_text: str | None, fuzzy_threshold: float) -> CaptionOverlap:
        """Raises ValueError for a threshold that is not in (0, 1]."""
        rates = text_rates(caption, ocr_text, fuzzy_threshold=fuzzy_threshold)
        return cls(rates, len(set((caption or "").split())), len(set(words(caption or ""))))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judged row came to.

    Attributes:
      has_text: there is visible text in the picture.
      ocr_text: what could be read, "" if nothing.
      complete: everything in the picture was read. Else the rates are lower bounds.
      overlap: of the caption and the text.
    """

    has_text: bool
    ocr_text: str
    complete: bool
    overlap: CaptionOverlap


@dataclass(frozen=True, slots=True)
class Observation:
    """One row of the input: judged, or not and why.

    Attributes:
      row_id: the row's own id, whatever file it lies in.
      caption: its original caption; None if it has none.
      cluster: the label of its cluster, None if it has none.
      problem: why it was not judged, as ``stage: reason``; None if it was.
      finding: what was found; None if it was not judged.
    """

    row_id: str
    caption: str | None
    cluster: int | None = None
    problem: str | None = None
    finding: Finding | None = None


def judge_row(
    row_id: str,
    caption: str | None,
    cluster: int | None,
    *,
    has_text: bool,
    ocr_text: str | None,
    complete: bool,
    fuzzy_threshold: float,
) -> Observation:
    """A row whose picture OCR has seen. Raises ValueError for a threshold that is not in (0, 1]."""
    text = ocr_text or ""
    finding = Finding(has_text, text, complete, CaptionOverlap.of(caption, text, fuzzy_threshold))
    return Observation(row_id, caption, cluster, finding=finding)


def observe_sample(sample: Sample, fuzzy_threshold: float) -> Observation:
    """A row that went through OCR."""
    if sample.ocr_has_text is None:
        return Observation(sample.uid, sample.caption, sample.cluster, problem=NO_OCR)
    return judge_row(
        sample.uid,
        sample.caption,
        sample.cluster,
        has_text=sample.ocr_has_text,
        ocr_text=sample.ocr_text,
        complete=sample.ocr_complete is not False,
        fuzzy_threshold=fuzzy_threshold,
    )


def observe_rejection(rejection: Rejection) -> Observation:
    """A row that never got so far."""
    sample = rejection.sample
    return Observation(sample.uid, sample.caption, sample.cluster, problem=f"{rejection.stage}: {rejection.reason}")
