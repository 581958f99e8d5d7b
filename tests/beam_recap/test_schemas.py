from __future__ import annotations

import dataclasses
import math

import pyarrow as pa
import pytest

from beam_recap.records import Reason, Sample, Stage
from beam_recap.schemas import Provenance, kept_columns, rejected_columns, row_of, schema_of

PROVENANCE = Provenance("ViT-L-14/openai", "head@0123", "rapidocr", "llava@abc", "f00d")

# As published: Recap-DataComp-1B, config "default".
RECAP = [
    ("url", "string"),
    ("re_caption", "string"),
    ("org_caption", "string"),
    ("sha256", "string"),
    ("key", "string"),
    ("re_clip_score", "float64"),
    ("org_clip_score", "float64"),
    ("re_length", "int64"),
    ("org_length", "int64"),
    ("re_gpt4v_score", "int64"),
    ("org_gpt4v_score", "int64"),
]
# As published: LAION text-debiased 100M, dataset card.
TEXT_DEBIASED = [
    ("SAMPLE_ID", "int64"),
    ("URL", "string"),
    ("TEXT", "string"),
    ("HEIGHT", "float64"),
    ("WIDTH", "float64"),
    ("LICENSE", "string"),
    ("NSFW", "string"),
    ("similarity", "float64"),
    ("ase_scores", "float64"),
    ("kmeans", "int64"),
    ("__index_level_0__", "int64"),
]
RECAP_DEBIASED = [
    *RECAP,
    ("sample_id", "int64"),
    ("height", "float64"),
    ("width", "float64"),
    ("license", "string"),
    ("nsfw", "string"),
    ("similarity", "float64"),
    ("ase_scores", "float64"),
    ("kmeans", "int64"),
    ("source_row", "int64"),
    ("uid", "string"),
    ("clip_model", "string"),
    ("aesthetic_model", "string"),
    ("ocr_engine", "string"),
    ("captioner", "string"),
    ("config_digest", "string"),
]
PUBLISHED = {"recap": RECAP, "text-debiased": TEXT_DEBIASED, "recap-debiased": RECAP_DEBIASED}

FULL = Sample(
    unit="/in/a.parquet[0:9]",
    index=4,
    uid="u4",
    key="000000004",
    url="http://x/a.jpg",
    caption="SALE a red  shoe",
    source_row=4,
    source_id=99,
    source_width=1000,
    source_height=500,
    license="?",
    nsfw="UNLIKELY",
    sha256="ab",
    width=640,
    height=320,
    image_format="JPEG",
    clip_score=0.31,
    caption_lost=0.25,
    aesthetic_score=5.5,
    ocr_has_text=True,
    ocr_text="sale",
    ocr_boxes=1,
    ocr_confidence=0.9,
    ocr_area=0.1,
    ocr_complete=True,
    recaption="A red shoe on a white table.",
    recaption_tokens=9,
    recaption_truncated=False,
    recaption_clip_score=0.33,
    recaption_lost=0.0,
    cluster=17,
)
BARE = Sample(unit="u", index=0, uid="x", key="k")


def types(schema: pa.Schema) -> list[tuple[str, str]]:
    names = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64", pa.bool_(): "bool"}
    return [(field.name, names[field.type]) for field in schema]


@pytest.mark.parametrize("preset", PUBLISHED)
def test_columns_are_the_published_ones_in_their_order(preset: str) -> None:
    assert types(schema_of(kept_columns(preset, False, PROVENANCE))) == PUBLISHED[preset]


@pytest.mark.parametrize("preset", PUBLISHED)
def test_extra_columns_come_after_the_published_ones(preset: str) -> None:
    columns = types(schema_of(kept_columns(preset, True, PROVENANCE)))
    assert columns[: len(PUBLISHED[preset])] == PUBLISHED[preset]
    names = [name for name, _ in columns]
    assert len(names) == len(set(names))
    assert {"uid", "clip_model", "config_digest", "original_width", "ocr_text", "co_embedded_text_rate"} <= set(names)
    assert {"recaption_tokens", "recaption_truncated", "source_unit", "source_index"} <= set(names)


def test_rejected_columns() -> None:
    assert types(schema_of(rejected_columns(False))) == [
        *((name, "string") for name in ("uid", "key", "url", "caption", "stage", "reason", "detail")),
        ("source_row", "int64"),
        ("sha256", "string"),
        ("original_width", "int64"),
        ("original_height", "int64"),
        ("clip_score", "float64"),
        ("aesthetic_score", "float64"),
        ("ocr_has_text", "bool"),
        ("ocr_text", "string"),
        ("ocr_boxes", "int64"),
        ("ocr_confidence", "float64"),
        ("ocr_area", "float64"),
        ("ocr_complete", "bool"),
        ("co_embedded_text_rate", "float64"),
    ]


def test_extra_columns_of_rejected_rows_come_last() -> None:
    columns = types(schema_of(rejected_columns(True)))
    assert columns == [
        *types(schema_of(rejected_columns(False))),
        ("status", "string"),
        ("error_message", "string"),
        ("http_status", "int64"),
        ("exif", "string"),
        ("recaption", "string"),
        ("recaption_tokens", "int64"),
        ("recaption_truncated", "bool"),
        ("recaption_hinted", "bool"),
        ("recaption_repetition", "float64"),
        ("recaption_unseen_quotes", "string"),
    ]


IMG2DATASET = {
    "status": "string",
    "error_message": "string",
    "original_width": "int64",
    "original_height": "int64",
    "exif": "string",
    "sha256": "string",
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_extra_columns_have_the_names_of_img2dataset(preset: str) -> None:
    expected = {*IMG2DATASET.items(), ("http_status", "int64")}
    assert expected <= set(types(schema_of(kept_columns(preset, True, PROVENANCE))))
    assert expected <= set(types(schema_of(rejected_columns(True))))


def test_what_a_kept_row_says_of_its_download() -> None:
    sample = dataclasses.replace(FULL, http_status=203, exif='{"Make": "x"}')
    row = row_of(kept_columns("text-debiased", True, PROVENANCE), sample)
    names = (*IMG2DATASET, "http_status")
    assert [row[name] for name in names] == ["success", None, 640, 320, '{"Make": "x"}', "ab", 203]


def test_what_a_rejected_row_says_of_its_download() -> None:
    sample = dataclasses.replace(BARE, url="http://x/a.jpg", http_status=404)
    row = row_of(rejected_columns(True), sample.reject(Stage.FETCH, Reason.HTTP_404, "HTTP 404"))
    names = (*IMG2DATASET, "http_status")
    values = ["failed_to_download", "http_404: HTTP 404", None, None, None, None, 404]
    assert [row[name] for name in names] == values
    later = dataclasses.replace(FULL, http_status=200).reject(Stage.CLIP, Reason.LOW_CLIP_SCORE, "0.1")
    row = row_of(rejected_columns(True), later)
    assert [row[name] for name in names] == ["success", None, 640, 320, None, "ab", 200]


def test_a_recap_row() -> None:
    assert row_of(kept_columns("recap", False, PROVENANCE), FULL) == {
        "url": "http://x/a.jpg",
        "re_caption": "A red shoe on a white table.",
        "org_caption": "SALE a red  shoe",
        "sha256": "ab",
        "key": "000000004",
        "re_clip_score": 0.33,
        "org_clip_score": 0.31,
        "re_length": 7,
        "org_length": 4,
        "re_gpt4v_score": None,
        "org_gpt4v_score": None,
    }


def test_a_text_debiased_row() -> None:
    row = row_of(kept_columns("text-debiased", False, PROVENANCE), FULL)
    assert row == {
        "SAMPLE_ID": 99,
        "URL": "http://x/a.jpg",
        "TEXT": "SALE a red  shoe",
        "HEIGHT": 500.0,
        "WIDTH": 1000.0,
        "LICENSE": "?",
        "NSFW": "UNLIKELY",
        "similarity": 0.31,
        "ase_scores": 5.5,
        "kmeans": 17,
        "__index_level_0__": 4,
    }
    assert isinstance(row["HEIGHT"], float)


@pytest.mark.parametrize(
    ("source", "own", "written"), [(None, 320, 320.0), (0, 320, 0.0), (500, None, 500.0), (None, None, None)]
)
def test_the_sources_size_comes_first(source: int | None, own: int | None, written: float | None) -> None:
    sample = Sample(unit="u", index=0, uid="x", key="k", source_height=source, height=own)
    assert row_of(kept_columns("text-debiased", False, PROVENANCE), sample)["HEIGHT"] == written


def test_provenance_names_the_models() -> None:
    row = row_of(kept_columns("recap-debiased", False, PROVENANCE), FULL)
    names = ("uid", "clip_model", "aesthetic_model", "ocr_engine", "captioner", "config_digest")
    assert [row[name] for name in names] == ["u4", "ViT-L-14/openai", "head@0123", "rapidocr", "llava@abc", "f00d"]
    none = kept_columns("recap-debiased", False, Provenance(None, None, None, None, "f00d"))
    assert [row_of(none, FULL)[name] for name in names[1:5]] == [None] * 4


@pytest.mark.parametrize("preset", PUBLISHED)
def test_what_is_not_known_is_null_and_never_0(preset: str) -> None:
    columns = kept_columns(preset, True, Provenance(None, None, None, None, "f00d"))
    row = row_of(columns, BARE)
    known = {name for name, value in row.items() if value is not None}
    assert known <= {"key", "uid", "source_unit", "source_index", "config_digest", "status"}
    assert {"source_unit", "source_index"} <= known
    nulls = set(row) - known
    table = pa.Table.from_pylist([row], schema=schema_of(columns))
    assert all(table.column(name).null_count == 1 for name in nulls)


def test_an_empty_text_is_no_null() -> None:
    sample = Sample(
        unit="u", index=0, uid="x", key="k", caption="a", recaption="", ocr_text="", ocr_boxes=0, clip_score=0.0
    )
    row = row_of(kept_columns("recap", True, PROVENANCE), sample)
    assert (row["re_length"], row["re_caption"], row["ocr_text"], row["ocr_boxes"]) == (0, "", "", 0)
    assert (row["org_clip_score"], row["co_embedded_text_rate"]) == (0.0, 0.0)


def test_a_rejected_row_keeps_what_was_known() -> None:
    row = row_of(rejected_columns(False), FULL.reject(Stage.OCR, Reason.HAS_TEXT, "1 box"))
    assert list(row) == schema_of(rejected_columns(False)).names
    assert (row["uid"], row["key"], row["url"], row["caption"]) == ("u4", "000000004", "http://x/a.jpg", FULL.caption)
    assert (row["stage"], row["reason"], row["detail"], row["source_row"]) == ("ocr", "has_text", "1 box", 4)
    assert (row["original_width"], row["original_height"], row["clip_score"], row["ocr_boxes"]) == (640, 320, 0.31, 1)
    assert row["co_embedded_text_rate"] == 0.25


def test_a_row_rejected_early_has_no_scores() -> None:
    row = row_of(rejected_columns(False), BARE.reject(Stage.READ, Reason.CORRUPT_SHARD))
    assert {name for name, value in row.items() if value is not None} == {"uid", "key", "stage", "reason", "detail"}
    assert pa.Table.from_pylist([row], schema=schema_of(rejected_columns(False))).num_rows == 1


def test_what_a_caption_is_worth() -> None:
    judged = dataclasses.replace(
        FULL,
        clip_score=0.20,
        recaption_clip_score=0.21,
        clip_logit_scale=100.0,
        recaption_hinted=True,
        recaption_repetition=0.25,
        recaption_flags=("repetition", "unseen_quotes"),
        unseen_quotes=("sale", "50 %"),
    )
    row = row_of(kept_columns("recap", True, PROVENANCE), judged)
    assert row["re_preference"] == pytest.approx(100 / (1 + math.exp(-1)))
    assert row["org_preference"] + row["re_preference"] == pytest.approx(100)
    assert (row["recaption_repetition"], row["recaption_unseen_quotes"]) == (0.25, "sale\n50 %")
    assert row["recaption_hinted"] is True
    flags = ("recaption_repetitive", "recaption_refusal", "recaption_prompt_echo")
    assert [row[name] for name in flags] == [True, False, False]
    unknown = dataclasses.replace(
        judged, clip_logit_scale=None, recaption_repetition=None, recaption_flags=None, unseen_quotes=None
    )
    row = row_of(kept_columns("recap", True, PROVENANCE), unknown)
    assert {row[name] for name in (*flags, "re_preference", "org_preference", "recaption_unseen_quotes")} == {None}
