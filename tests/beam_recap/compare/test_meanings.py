"""Columns of different schemas that mean the same."""

from __future__ import annotations

import itertools

import pytest

from beam_recap.compare.meanings import ROLES, column_of, pair_columns
from beam_recap.names import SCHEMAS
from beam_recap.records import Sample
from beam_recap.schemas import Provenance, kept_columns, rejected_columns

PROVENANCE = Provenance("clip", "head", "ocr", "llava", "0123")


def columns(schema: str, extra: bool = False) -> list[str]:
    return [column.name for column in kept_columns(schema, extra, PROVENANCE)]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("extra", [False, True])
def test_a_schema_pairs_with_itself(schema: str, extra: bool) -> None:
    names = columns(schema, extra)
    pairs, only_a, only_b = pair_columns(names, names)
    assert [(pair.a, pair.b) for pair in pairs] == [(name, name) for name in names]
    assert (only_a, only_b) == ([], [])


def test_what_other_schemas_call_it() -> None:
    def found(a: str, b: str) -> dict[str, str]:
        return {pair.a: pair.b for pair in pair_columns(columns(a), columns(b))[0]}

    assert found("recap", "text-debiased") == {"url": "URL", "org_caption": "TEXT", "org_clip_score": "similarity"}
    assert found("recap-coco-30k", "recap") == {
        "coco_url": "url",
        "caption": "org_caption",
        "recaption": "re_caption",
    }
    assert found("text-debiased", "datacomp") == {"URL": "url", "TEXT": "text"}
    assert found("text-debiased", "recap-debiased") == {
        "SAMPLE_ID": "sample_id",
        "URL": "url",
        "TEXT": "org_caption",
        "HEIGHT": "height",
        "WIDTH": "width",
        "LICENSE": "license",
        "NSFW": "nsfw",
        "similarity": "similarity",
        "ase_scores": "ase_scores",
        "kmeans": "kmeans",
        "__index_level_0__": "source_row",
    }


@pytest.mark.parametrize(("a", "b"), itertools.permutations(SCHEMAS, 2))
def test_pairs_hold_the_same_value(a: str, b: str) -> None:
    """Whatever is paired has the same value in a row whose fields are all different."""
    row = Sample(
        unit="unit", index=1, uid="uid", key="key", url="url", caption="one two", source_row=2, source_id=3,
        source_width=4, source_height=5, license="license", nsfw="nsfw", sha256="sha", width=6, height=7,
        clip_score=0.1, aesthetic_score=8.5, ocr_text="text", recaption="a b c", recaption_clip_score=0.2,
        cluster=9, caption_rating=1, recaption_rating=3,
    )  # fmt: skip
    values = [{c.name: c.value(row) for c in kept_columns(schema, True, PROVENANCE)} for schema in (a, b)]
    pairs, only_a, only_b = pair_columns(*(list(side) for side in values))
    assert len({pair.b for pair in pairs}) == len(pairs) >= 3
    assert len(pairs) + len(only_a) == len(values[0]) and len(pairs) + len(only_b) == len(values[1])
    for pair in pairs:
        assert values[0][pair.a] == values[1][pair.b], pair


def test_a_caption_beside_the_original_one_is_something_else() -> None:
    pairs, only_a, only_b = pair_columns(["org_caption", "caption"], ["TEXT", "url"])
    assert [(pair.a, pair.b) for pair in pairs] == [("org_caption", "TEXT")]
    assert (only_a, only_b) == (["caption"], ["url"])


def test_one_that_is_there_twice_is_paired_once() -> None:
    pairs, only_a, only_b = pair_columns(["org_clip_score", "similarity"], ["similarity"])
    assert ([(pair.a, pair.b) for pair in pairs], only_a, only_b) == ([("similarity",) * 2], ["org_clip_score"], [])


def test_roles() -> None:
    rejected = [column.name for column in rejected_columns(False)]
    for role in set(ROLES) - {"source_id"}:
        assert column_of(role, rejected) == role
    assert column_of("caption", columns("text-debiased")) == "TEXT"
    assert column_of("SHA256", columns("recap")) == "sha256"
    assert column_of("uid", columns("recap")) is None
