"""The schemas of published datasets, with their columns, order and types exactly as published.

Sources: the dataset cards of Recap-DataComp-1B (its configs ``default`` and ``condition_diverse_topk``), LAION
text-debiased 100M and Recap-COCO-30K; DataComp's metadata files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from beam_recap.caption_mix import CaptionMix
from beam_recap.records import Outcome, Sample
from beam_recap.schema_columns import (
    EXTRA,
    FLOAT,
    INT,
    REJECTED,
    REJECTED_EXTRA,
    STRING,
    Column,
    Provenance,
    as_float,
    more_clip_columns,
    provenance_columns,
    words,
)

__all__ = ["Column", "Provenance", "kept_columns", "rejected_columns", "row_of", "schema_of"]

# Recap-DataComp-1B, config "default". The two scores are cosines of the run's CLIP model. GPT-4V's are null, or the
# ratings of the model that stands in its place.
_RECAP = (
    Column("url", STRING, lambda s: s.url),
    Column("re_caption", STRING, lambda s: s.recaption),
    Column("org_caption", STRING, lambda s: s.caption),
    Column("sha256", STRING, lambda s: s.sha256),
    Column("key", STRING, lambda s: s.key),
    Column("re_clip_score", FLOAT, lambda s: s.recaption_clip_score),
    Column("org_clip_score", FLOAT, lambda s: s.clip_score),
    Column("re_length", INT, lambda s: words(s.recaption)),
    Column("org_length", INT, lambda s: words(s.caption)),
    Column("re_gpt4v_score", INT, lambda s: s.recaption_rating),
    Column("org_gpt4v_score", INT, lambda s: s.caption_rating),
)

# LAION text-debiased 100M. HEIGHT and WIDTH are floats there; kmeans is null without --clusters.
_TEXT_DEBIASED = (
    Column("SAMPLE_ID", INT, lambda s: s.source_id),
    Column("URL", STRING, lambda s: s.url),
    Column("TEXT", STRING, lambda s: s.caption),
    Column("HEIGHT", FLOAT, lambda s: as_float(s.source_height if s.source_height is not None else s.height)),
    Column("WIDTH", FLOAT, lambda s: as_float(s.source_width if s.source_width is not None else s.width)),
    Column("LICENSE", STRING, lambda s: s.license),
    Column("NSFW", STRING, lambda s: s.nsfw),
    Column("similarity", FLOAT, lambda s: s.clip_score),
    Column("ase_scores", FLOAT, lambda s: s.aesthetic_score),
    Column("kmeans", INT, lambda s: s.cluster),
    Column("__index_level_0__", INT, lambda s: s.source_row),
)


def _union() -> tuple[Column, ...]:
    """Both schemas in snake case, without the columns that would say the same twice."""
    same = {"URL": "url", "TEXT": "org_caption", "__index_level_0__": "source_row"}
    renamed = [
        Column(same.get(column.name, column.name.lower()), column.type, column.value) for column in _TEXT_DEBIASED
    ]
    names = {column.name for column in _RECAP}
    return (*_RECAP, *(column for column in renamed if column.name not in names))


def _recap_conditioned() -> tuple[Column, ...]:
    """Recap-DataComp-1B, config "condition_diverse_topk": a second caption, made with the original one in view.

    How the authors made theirs is not published. A run makes one caption: with --caption_hint it is the second, and the
    first is null; without it the other way round.
    """

    def recaption(sample: Sample, conditioned: bool) -> str | None:
        return sample.recaption if bool(sample.recaption_hinted) == conditioned else None

    unconditioned = {
        "re_caption": Column("re_caption", STRING, lambda s: recaption(s, False)),
        "re_length": Column("re_length", INT, lambda s: words(recaption(s, False))),
    }
    return (
        *(unconditioned.get(column.name, column) for column in _RECAP),
        Column("re_caption_condition_diverse_topk", STRING, lambda s: recaption(s, True)),
        Column("re_condition_length", INT, lambda s: words(recaption(s, True))),
    )


# Recap-COCO-30K, of which only these columns are known (from code that reads them); its pictures are not written.
_RECAP_COCO = (
    Column("image_id", INT, lambda s: s.source_id),
    Column("coco_url", STRING, lambda s: s.url),
    Column("caption", STRING, lambda s: s.caption),
    Column("recaption", STRING, lambda s: s.recaption),
)


def _datacomp(provenance: Provenance) -> tuple[Column, ...]:
    """DataComp's metadata. A score is null unless that very model ran; faces are not looked for."""
    return (
        Column("uid", STRING, lambda s: s.uid),
        Column("url", STRING, lambda s: s.url),
        Column("text", STRING, lambda s: s.caption),
        Column("original_width", INT, lambda s: s.width),
        Column("original_height", INT, lambda s: s.height),
        Column("clip_b32_similarity_score", FLOAT, _score_of("ViT-B-32/openai", provenance)),
        Column("clip_l14_similarity_score", FLOAT, _score_of("ViT-L-14/openai", provenance)),
        Column("face_bboxes", pa.list_(pa.list_(FLOAT)), lambda s: None),
        Column("sha256", STRING, lambda s: s.sha256),
    )


def _score_of(model: str, provenance: Provenance) -> Callable[[Sample], float | None]:
    if provenance.clip_model == model:
        return lambda sample: sample.clip_score
    if model not in provenance.more_clip_models:
        return lambda sample: None
    number = provenance.more_clip_models.index(model)
    return lambda sample: None if sample.more_clip_scores is None else sample.more_clip_scores[number]


def kept_columns(
    schema: str, extra_columns: bool, provenance: Provenance, mix: CaptionMix | None = None
) -> tuple[Column, ...]:
    """The columns of ``data/``: the published ones, further CLIP models', those that add to them, and mixed captions.

    Args:
      schema: one of `names.SCHEMAS`.
      extra_columns: also what that schema lacks.
      provenance: the names of the models.
      mix: how original and new captions are mixed; None if they are not.
    """
    columns = {
        "recap": lambda: _RECAP,
        "recap-v2": _recap_conditioned,
        "text-debiased": lambda: _TEXT_DEBIASED,
        "recap-debiased": lambda: (*_union(), *provenance_columns(provenance)),
        "recap-coco-30k": lambda: _RECAP_COCO,
        "datacomp": lambda: _datacomp(provenance),
    }[schema]()
    more = more_clip_columns(provenance)
    if extra_columns:
        more = (*more, *provenance_columns(provenance), *EXTRA)
    if mix is not None:
        more = (*more, *_mixed_columns(mix))
    names = {column.name for column in columns}
    return (*columns, *(column for column in more if column.name not in names))


def _mixed_columns(mix: CaptionMix) -> tuple[Column, ...]:
    return (
        Column("mixed_caption", STRING, lambda s: mix.choose(s).text),
        Column("mixed_caption_source", STRING, lambda s: mix.choose(s).source),
    )


def rejected_columns(extra_columns: bool) -> tuple[Column, ...]:
    """The columns of ``rejected/``, the same for every schema."""
    return (*REJECTED, *REJECTED_EXTRA) if extra_columns else REJECTED


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([(column.name, column.type) for column in columns])


def row_of(columns: tuple[Column, ...], outcome: Outcome) -> dict[str, Any]:
    """A row by column name."""
    return {column.name: column.value(outcome) for column in columns}
