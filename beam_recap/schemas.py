"""The columns that each preset writes, with their order and types exactly as published.

Sources: the dataset cards of Recap-DataComp-1B and LAION text-debiased 100M.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from beam_recap.caption_quality import preference
from beam_recap.download_status import error_message_of, status_of
from beam_recap.ocr.text_rate import text_rates
from beam_recap.records import Outcome, Rejection, Sample


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


def _words(text: str | None) -> int | None:
    """Words, as Recap-DataComp-1B counts a caption's length (mean 49.43 against 10.22)."""
    return None if text is None else len(text.split())


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _text_rate(sample: Sample) -> float | None:
    return text_rates(sample.caption, sample.ocr_text).normalised


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


_STRING, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()

# Recap-DataComp-1B, config "default". The two scores are cosines of the run's CLIP model. GPT-4V's are null, or the
# ratings of the model that stands in its place.
_RECAP = (
    Column("url", _STRING, lambda s: s.url),
    Column("re_caption", _STRING, lambda s: s.recaption),
    Column("org_caption", _STRING, lambda s: s.caption),
    Column("sha256", _STRING, lambda s: s.sha256),
    Column("key", _STRING, lambda s: s.key),
    Column("re_clip_score", _FLOAT, lambda s: s.recaption_clip_score),
    Column("org_clip_score", _FLOAT, lambda s: s.clip_score),
    Column("re_length", _INT, lambda s: _words(s.recaption)),
    Column("org_length", _INT, lambda s: _words(s.caption)),
    Column("re_gpt4v_score", _INT, lambda s: s.recaption_rating),
    Column("org_gpt4v_score", _INT, lambda s: s.caption_rating),
)

# LAION text-debiased 100M. HEIGHT and WIDTH are floats there; kmeans is null until clusters are assigned.
_TEXT_DEBIASED = (
    Column("SAMPLE_ID", _INT, lambda s: s.source_id),
    Column("URL", _STRING, lambda s: s.url),
    Column("TEXT", _STRING, lambda s: s.caption),
    Column("HEIGHT", _FLOAT, lambda s: _float(s.source_height if s.source_height is not None else s.height)),
    Column("WIDTH", _FLOAT, lambda s: _float(s.source_width if s.source_width is not None else s.width)),
    Column("LICENSE", _STRING, lambda s: s.license),
    Column("NSFW", _STRING, lambda s: s.nsfw),
    Column("similarity", _FLOAT, lambda s: s.clip_score),
    Column("ase_scores", _FLOAT, lambda s: s.aesthetic_score),
    Column("kmeans", _INT, lambda s: None),
    Column("__index_level_0__", _INT, lambda s: s.source_row),
)


def _union() -> tuple[Column, ...]:
    """Both schemas in snake case, without the columns that would say the same twice."""
    same = {"URL": "url", "TEXT": "org_caption", "__index_level_0__": "source_row"}
    renamed = [
        Column(same.get(column.name, column.name.lower()), column.type, column.value) for column in _TEXT_DEBIASED
    ]
    names = {column.name for column in _RECAP}
    return (*_RECAP, *(column for column in renamed if column.name not in names))


def _provenance(provenance: Provenance) -> tuple[Column, ...]:
    return (
        Column("uid", _STRING, lambda s: s.uid),
        Column("clip_model", _STRING, lambda s: provenance.clip_model),
        Column("aesthetic_model", _STRING, lambda s: provenance.aesthetic_model),
        Column("ocr_engine", _STRING, lambda s: provenance.ocr_engine),
        Column("captioner", _STRING, lambda s: provenance.captioner),
        Column("config_digest", _STRING, lambda s: provenance.config_digest),
    )


_EXTRA = (
    Column("source_unit", _STRING, lambda s: s.unit),
    Column("source_index", _INT, lambda s: s.index),
    # The names of img2dataset, for what means the same.
    Column("status", _STRING, status_of),
    Column("error_message", _STRING, error_message_of),
    Column("http_status", _INT, lambda s: s.http_status),
    Column("sha256", _STRING, lambda s: s.sha256),
    Column("original_width", _INT, lambda s: s.width),
    Column("original_height", _INT, lambda s: s.height),
    Column("exif", _STRING, lambda s: s.exif),
    Column("image_format", _STRING, lambda s: s.image_format),
    Column("clip_score", _FLOAT, lambda s: s.clip_score),
    Column("caption_cut", _BOOL, lambda s: s.caption_cut),
    Column("aesthetic_score", _FLOAT, lambda s: s.aesthetic_score),
    Column("ocr_has_text", _BOOL, lambda s: s.ocr_has_text),
    Column("ocr_text", _STRING, lambda s: s.ocr_text),
    Column("ocr_boxes", _INT, lambda s: s.ocr_boxes),
    Column("ocr_confidence", _FLOAT, lambda s: s.ocr_confidence),
    Column("ocr_area", _FLOAT, lambda s: s.ocr_area),
    Column("ocr_complete", _BOOL, lambda s: s.ocr_complete),
    Column("co_embedded_text_rate", _FLOAT, _text_rate),
    Column("recaption_tokens", _INT, lambda s: s.recaption_tokens),
    Column("recaption_truncated", _BOOL, lambda s: s.recaption_truncated),
    Column("recaption_hinted", _BOOL, lambda s: s.recaption_hinted),
    Column("recaption_repetition", _FLOAT, lambda s: s.recaption_repetition),
    Column("recaption_repetitive", _BOOL, _is_flagged("repetition")),
    Column("recaption_refusal", _BOOL, _is_flagged("refusal")),
    Column("recaption_prompt_echo", _BOOL, _is_flagged("prompt_echo")),
    Column("recaption_unseen_quotes", _STRING, _lines_of_quotes),
    Column("recaption_clip_score", _FLOAT, lambda s: s.recaption_clip_score),
    Column("org_preference", _FLOAT, lambda s: _preference(s, 0)),
    Column("re_preference", _FLOAT, lambda s: _preference(s, 1)),
    Column("recaption_cut", _BOOL, lambda s: s.recaption_cut),
)


def _known_by_then(*names: str) -> tuple[Column, ...]:
    """Columns of kept rows, for rejected ones."""
    columns = {column.name: column for column in _EXTRA}
    return tuple(Column(name, columns[name].type, _of_sample(columns[name])) for name in names)


def _of_sample(column: Column) -> Callable[[Rejection], Any]:
    return lambda rejection: column.value(rejection.sample)


_REJECTED = (
    Column("uid", _STRING, lambda r: r.sample.uid),
    Column("key", _STRING, lambda r: r.sample.key),
    Column("url", _STRING, lambda r: r.sample.url),
    Column("caption", _STRING, lambda r: r.sample.caption),
    Column("stage", _STRING, lambda r: str(r.stage)),
    Column("reason", _STRING, lambda r: str(r.reason)),
    Column("detail", _STRING, lambda r: r.detail),
    Column("source_row", _INT, lambda r: r.sample.source_row),
    *_known_by_then("sha256", "original_width", "original_height"),
    *_known_by_then("clip_score", "aesthetic_score"),
    *_known_by_then("ocr_has_text", "ocr_text", "ocr_boxes", "ocr_confidence", "ocr_area", "ocr_complete"),
    *_known_by_then("co_embedded_text_rate"),
)
_REJECTED_EXTRA = (
    Column("status", _STRING, status_of),
    Column("error_message", _STRING, error_message_of),
    *_known_by_then("http_status", "exif"),
    Column("recaption", _STRING, lambda r: r.sample.recaption),
    *_known_by_then("recaption_tokens", "recaption_truncated", "recaption_hinted"),
    *_known_by_then("recaption_repetition", "recaption_unseen_quotes"),
)


def kept_columns(preset: str, extra_columns: bool, provenance: Provenance) -> tuple[Column, ...]:
    """The columns of ``data/`` for a preset, the published ones first."""
    columns = {
        "recap": lambda: _RECAP,
        "text-debiased": lambda: _TEXT_DEBIASED,
        "recap-debiased": lambda: (*_union(), *_provenance(provenance)),
    }[preset]()
    if extra_columns:
        names = {column.name for column in columns}
        more = (*_provenance(provenance), *_EXTRA)
        columns = (*columns, *(column for column in more if column.name not in names))
    return columns


def rejected_columns(extra_columns: bool) -> tuple[Column, ...]:
    """The columns of ``rejected/``, the same for every preset."""
    return (*_REJECTED, *_REJECTED_EXTRA) if extra_columns else _REJECTED


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([(column.name, column.type) for column in columns])


def row_of(columns: tuple[Column, ...], outcome: Outcome) -> dict[str, Any]:
    """A row by column name."""
    return {column.name: column.value(outcome) for column in columns}
