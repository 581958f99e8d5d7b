"""Columns: what each is called, its type, and how its value follows from a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from beam_recap.caption_quality import preference
from beam_recap.download_status import error_message_of, status_of
from beam_recap.model_checks import column_part
from beam_recap.ocr.text_rate import text_rates
from beam_recap.records import MORE_CLIP_FIELDS, Rejection, Sample


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type and its value, of a `Sample` in ``data/`` and of a `Rejection` in ``rejected/``."""

    name: str
    type: pa.DataType
    value: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a row's values. Names of models, None where there is none."""

    clip_model: str | None
    aesthetic_model: str | None
    ocr_engine: str | None
    captioner: str | None
    config_digest: str
    more_clip_models: tuple[str, ...] = ()  # in the order of a sample's more scores


def words(text: str | None) -> int | None:
    """Words, as Recap-DataComp-1B counts a caption's length (mean 49.43 against 10.22)."""
    return None if text is None else len(text.split())


def as_float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _text_rate(reading: str) -> Callable[[Sample], float | None]:
    return lambda sample: getattr(text_rates(sample.caption, sample.ocr_text), reading)


def _is_cut(lost: float | None) -> bool | None:
    return None if lost is None else lost > 0


def _preference(sample: Sample, which: int) -> float | None:
    """The share of CLIP's preference, in percent: 0 for the original caption's, 1 for the recaption's."""
    if sample.clip_logit_scale is None:
        return None
    shares = preference(sample.clip_score, sample.recaption_clip_score, sample.clip_logit_scale)
    return None if shares is None else shares[which]


def _lines_of_quotes(sample: Sample) -> str | None:
    """One quote per line; empty where OCR saw them all."""
    return None if sample.unseen_quotes is None else "\n".join(sample.unseen_quotes)


def _is_flagged(name: str) -> Callable[[Sample], bool | None]:
    return lambda sample: None if sample.recaption_flags is None else name in sample.recaption_flags


STRING, INT, FLOAT, BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def provenance_columns(provenance: Provenance) -> tuple[Column, ...]:
    return (
        Column("uid", STRING, lambda s: s.uid),
        Column("clip_model", STRING, lambda s: provenance.clip_model),
        Column("aesthetic_model", STRING, lambda s: provenance.aesthetic_model),
        Column("ocr_engine", STRING, lambda s: provenance.ocr_engine),
        Column("captioner", STRING, lambda s: provenance.captioner),
        Column("config_digest", STRING, lambda s: provenance.config_digest),
    )


EXTRA = (
    Column("source_unit", STRING, lambda s: s.unit),
    Column("source_index", INT, lambda s: s.index),
    # The names of img2dataset, for what means the same.
    Column("status", STRING, status_of),
    Column("error_message", STRING, error_message_of),
    Column("http_status", INT, lambda s: s.http_status),
    Column("sha256", STRING, lambda s: s.sha256),
    Column("original_width", INT, lambda s: s.width),
    Column("original_height", INT, lambda s: s.height),
    Column("exif", STRING, lambda s: s.exif),
    Column("image_format", STRING, lambda s: s.image_format),
    Column("clip_score", FLOAT, lambda s: s.clip_score),
    Column("caption_cut", BOOL, lambda s: _is_cut(s.caption_lost)),
    Column("caption_lost", FLOAT, lambda s: s.caption_lost),
    Column("aesthetic_score", FLOAT, lambda s: s.aesthetic_score),
    Column("ocr_has_text", BOOL, lambda s: s.ocr_has_text),
    Column("ocr_text", STRING, lambda s: s.ocr_text),
    Column("ocr_boxes", INT, lambda s: s.ocr_boxes),
    Column("ocr_confidence", FLOAT, lambda s: s.ocr_confidence),
    Column("ocr_area", FLOAT, lambda s: s.ocr_area),
    Column("ocr_complete", BOOL, lambda s: s.ocr_complete),
    Column("co_embedded_text_rate", FLOAT, _text_rate("normalised")),
    Column("co_embedded_text_rate_strict", FLOAT, _text_rate("strict")),
    Column("co_embedded_text_rate_fuzzy", FLOAT, _text_rate("fuzzy")),
    Column("re_caption", STRING, lambda s: s.recaption),
    Column("recaption_tokens", INT, lambda s: s.recaption_tokens),
    Column("recaption_truncated", BOOL, lambda s: s.recaption_truncated),
    Column("recaption_hinted", BOOL, lambda s: s.recaption_hinted),
    Column("recaption_repetition", FLOAT, lambda s: s.recaption_repetition),
    Column("recaption_repetitive", BOOL, _is_flagged("repetition")),
    Column("recaption_refusal", BOOL, _is_flagged("refusal")),
    Column("recaption_prompt_echo", BOOL, _is_flagged("prompt_echo")),
    Column("recaption_unseen_quotes", STRING, _lines_of_quotes),
    Column("recaption_clip_score", FLOAT, lambda s: s.recaption_clip_score),
    Column("org_preference", FLOAT, lambda s: _preference(s, 0)),
    Column("re_preference", FLOAT, lambda s: _preference(s, 1)),
    Column("recaption_cut", BOOL, lambda s: _is_cut(s.recaption_lost)),
    Column("recaption_lost", FLOAT, lambda s: s.recaption_lost),
)


def _known_by_then(*names: str) -> tuple[Column, ...]:
    """Columns of kept rows, for rejected ones."""
    columns = {column.name: column for column in EXTRA}
    return tuple(Column(name, columns[name].type, _of_sample(columns[name])) for name in names)


def _of_sample(column: Column) -> Callable[[Rejection], Any]:
    return lambda rejection: column.value(rejection.sample)


REJECTED = (
    Column("uid", STRING, lambda r: r.sample.uid),
    Column("key", STRING, lambda r: r.sample.key),
    Column("url", STRING, lambda r: r.sample.url),
    Column("caption", STRING, lambda r: r.sample.caption),
    Column("stage", STRING, lambda r: str(r.stage)),
    Column("reason", STRING, lambda r: str(r.reason)),
    Column("detail", STRING, lambda r: r.detail),
    Column("source_row", INT, lambda r: r.sample.source_row),
    *_known_by_then("sha256", "original_width", "original_height"),
    *_known_by_then("clip_score", "aesthetic_score"),
    *_known_by_then("ocr_has_text", "ocr_text", "ocr_boxes", "ocr_confidence", "ocr_area", "ocr_complete"),
    *_known_by_then("co_embedded_text_rate"),
)
REJECTED_EXTRA = (
    Column("status", STRING, status_of),
    Column("error_message", STRING, error_message_of),
    *_known_by_then("http_status", "exif"),
    Column("recaption", STRING, lambda r: r.sample.recaption),
    *_known_by_then("recaption_tokens", "recaption_truncated", "recaption_hinted"),
    *_known_by_then("recaption_repetition", "recaption_unseen_quotes"),
)


def more_clip_columns(provenance: Provenance) -> tuple[Column, ...]:
    """What each further CLIP model says of a row, under names that end with the model's."""
    return tuple(
        column
        for number, model in enumerate(provenance.more_clip_models)
        for column in _more_clip_columns(number, column_part(model))
    )


def _more_clip_columns(number: int, model: str) -> tuple[Column, ...]:
    def of(field: str) -> Callable[[Sample], float | None]:
        return lambda sample: None if getattr(sample, field) is None else getattr(sample, field)[number]

    score, lost, rescore, relost, scale = map(of, MORE_CLIP_FIELDS)

    def preferred(sample: Sample) -> float | None:
        if (factor := scale(sample)) is None:
            return None
        shares = preference(score(sample), rescore(sample), factor)
        return None if shares is None else shares[1]

    return (
        Column(f"clip_score_{model}", FLOAT, score),
        Column(f"caption_lost_{model}", FLOAT, lost),
        Column(f"recaption_clip_score_{model}", FLOAT, rescore),
        Column(f"recaption_lost_{model}", FLOAT, relost),
        Column(f"re_preference_{model}", FLOAT, preferred),
    )
