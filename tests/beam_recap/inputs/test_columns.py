from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

from beam_recap.inputs.columns import (
    ColumnError,
    Columns,
    as_integer,
    as_text,
    pair_digest,
    recognise_columns,
    sample_from,
    shard_key,
)
from beam_recap.records import Sample

# The columns as the datasets publish them.
DATACOMP = [
    "uid", "url", "text", "original_width", "original_height",
    "clip_b32_similarity_score", "clip_l14_similarity_score", "face_bboxes", "sha256",
]  # fmt: skip
RECAP = [
    "url", "re_caption", "org_caption", "sha256", "key", "re_clip_score", "org_clip_score", "re_length", "org_length",
    "re_gpt4v_score", "org_gpt4v_score",
]  # fmt: skip
LAION = [
    "SAMPLE_ID", "URL", "TEXT", "HEIGHT", "WIDTH", "LICENSE", "NSFW", "similarity", "ase_scores", "kmeans",
    "__index_level_0__",
]  # fmt: skip
IMG2DATASET = [
    "url", "caption", "key", "status", "error_message", "width", "height", "original_width", "original_height", "exif",
    "sha256",
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (DATACOMP, Columns("url", "text", uid="uid", source_width="original_width", source_height="original_height")),
        (RECAP, Columns("url", "org_caption", key="key")),
        (
            LAION,
            Columns(
                "URL",
                "TEXT",
                source_id="SAMPLE_ID",
                source_width="WIDTH",
                source_height="HEIGHT",
                license="LICENSE",
                nsfw="NSFW",
                cluster="kmeans",
            ),
        ),
        (["image_id", "coco_url", "caption", "recaption"], Columns("coco_url", "caption", source_id="image_id")),
        (
            IMG2DATASET,
            Columns("url", "caption", key="key", source_width="original_width", source_height="original_height"),
        ),
        (["url"], Columns("url", None)),
    ],
    ids=["datacomp", "recap", "laion", "coco", "img2dataset", "bare"],
)
def test_published_column_names_are_recognised(names: list[str], columns: Columns) -> None:
    assert recognise_columns(names) == columns
    assert recognise_columns(names[::-1]) == columns
    assert set(columns.names) <= set(names)


def test_the_users_choice_comes_first() -> None:
    columns = recognise_columns(["url", "link", "text", "alt"], url_column="link", caption_column="alt")
    assert (columns.url, columns.caption) == ("link", "alt")


def test_a_column_is_read_once() -> None:
    assert recognise_columns(["x"], url_column="x", caption_column="x").names == ["x"]


@pytest.mark.parametrize(
    ("names", "chosen", "flag", "named"),
    [
        (["link", "alt"], {}, "url_column", "link, alt"),
        (["Url"], {}, "url_column", "Url"),
        (["url"], {"url_column": "link"}, "url_column", "link"),
        (["url"], {"caption_column": "alt"}, "caption_column", "alt"),
        (["url", "md5"], {"digest_column": "sha256"}, "verify_hash", "sha256; give one of url, md5"),
        (
            ["http://x/a", "a cat\n\x1b[1mon\ta mat", "x" * 1000],
            {},
            "url_column",
            "http://x/a, a cat [1mon a mat, " + "x" * 60,
        ),
        ([f"c{number}" for number in range(500)], {}, "url_column", "c29 and 470 more with"),
        ([], {}, "url_column", "--url_column"),
    ],
)
def test_a_missing_column_names_its_flag(names: list[str], chosen: dict[str, str], flag: str, named: str) -> None:
    with pytest.raises(ColumnError) as caught:
        recognise_columns(names, **chosen)
    assert caught.value.flag == flag
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("value", "digest"),
    [("AB" * 16, "ab" * 16), (" ab\n", "ab"), (b"AB", "ab"), (None, None), ("", None), (float("nan"), None), (7, "7")],
)
def test_the_expected_digest(value: Any, digest: str | None) -> None:
    row = {"url": "http://x", "sha256": value}
    columns = recognise_columns(list(row), digest_column="sha256")
    assert "sha256" in columns.names
    place = {"unit": "u", "index": 3, "source_row": 5, "key": "000010005"}
    assert sample_from(row, columns, **place).expected_digest == digest
    assert sample_from(row, recognise_columns(list(row)), **place).expected_digest is None


def test_json_beside_pictures_needs_no_url() -> None:
    assert recognise_columns(["text"], needs_url=False).caption == "text"
    assert recognise_columns([], url_column="u", caption_column="c", needs_url=False) == Columns("u", "c")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        ("", None),
        (" \t\n", None),
        ("  a b ", "a b"),
        ("日本 🎈", "日本 🎈"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "caf\ufffd"),
        (b"", None),
        ("a\ud800b", "a?b"),
        (12, "12"),
        (0, "0"),
        (1.5, "1.5"),
        (True, "True"),
        (float("inf"), "inf"),
        (["a"], "['a']"),
    ],
)
def test_text(value: Any, text: str | None) -> None:
    assert as_text(value) == text
    assert text is None or as_text(value).encode()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, None),
        (True, None),
        (False, None),
        (0, 0),
        (-5, -5),
        (512.0, 512),
        (float("nan"), None),
        (float("inf"), None),
        ("640", 640),
        (b"640", 640),
        ("640.0", 640),
        (b"640.0", 640),
        ("1e3", 1000),
        ("nan", None),
        ("inf", None),
        ("1e300", None),
        ("wide", None),
        ("", None),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, None),
        (-(2**63) - 1, None),
        (10**400, None),
        ("9" * 5000, None),
        (1e300, None),
        (decimal.Decimal("7"), 7),
        (decimal.Decimal("NaN"), None),
        (decimal.Decimal("Infinity"), None),
        ([1], None),
        (datetime.date(2024, 1, 1), None),
    ],
)
def test_integers(value: Any, number: int | None) -> None:
    assert as_integer(value) == number


def sample(row: dict[str, Any], **place: Any) -> Sample:
    columns = recognise_columns(list(row), needs_url=False)
    return sample_from(row, columns, **{"unit": "u", "index": 3, "source_row": 5, "key": "000010005", **place})


def test_a_laion_row() -> None:
    row = {
        "SAMPLE_ID": 4711, "URL": "http://x/a.jpg", "TEXT": "a cat", "HEIGHT": 480.0, "WIDTH": float("nan"),
        "LICENSE": None, "NSFW": "UNLIKELY", "similarity": 0.31,
    }  # fmt: skip
    assert sample(row) == Sample(
        unit="u",
        index=3,
        uid="4711",
        key="000010005",
        url="http://x/a.jpg",
        caption="a cat",
        source_row=5,
        source_id=4711,
        source_width=None,
        source_height=480,
        license=None,
        nsfw="UNLIKELY",
    )


@pytest.mark.parametrize(
    ("row", "uid"),
    [
        ({"uid": "f00d", "SAMPLE_ID": 1, "url": "http://x"}, "f00d"),
        ({"uid": None, "SAMPLE_ID": 1, "url": "http://x"}, "1"),
        ({"uid": " ", "SAMPLE_ID": 0, "url": "http://x"}, "0"),
        ({"SAMPLE_ID": float("nan"), "url": "http://x"}, pair_digest("http://x", None)),
        ({"url": "http://x", "caption": "a"}, pair_digest("http://x", "a")),
        ({"url": None, "caption": "a"}, pair_digest("000010005", "a")),
    ],
)
def test_uid_is_the_sources_own_id_else_a_digest(row: dict[str, Any], uid: str) -> None:
    assert sample(row).uid == uid


def test_a_digest_does_not_depend_on_the_place() -> None:
    row = {"url": "http://x/a.jpg", "text": "a cat"}
    assert sample(row).uid == sample(row, unit="v", index=9, source_row=0, key="000990000").uid


def test_digests_tell_pairs_apart() -> None:
    pairs = [("http://x", "a"), ("http://x", "b"), ("http://y", "a"), ("http://x", None), ("http://xa", None)]
    digests = {pair_digest(*pair) for pair in pairs}
    assert len(digests) == len(pairs)
    assert {len(digest) for digest in digests} == {32}
    assert pair_digest("http://x", "\ud800") != pair_digest("http://x", "\ud801")


@pytest.mark.parametrize(("own", "key"), [("k1", "k1"), (None, "000010005"), ("", "000010005"), (7, "7")])
def test_the_sources_key_comes_first(own: Any, key: str) -> None:
    assert sample({"url": "http://x", "key": own}).key == key


@pytest.mark.parametrize(
    ("shard", "row", "rows", "key"),
    [
        (0, 0, None, "000000000"),
        (0, 0, 0, "000000000"),
        (12, 345, 10_000, "000120345"),
        (12, 345, 10_001, "0001200345"),
        (99999, 1_234_567, 2_000_000, "999991234567"),
        (123456, 1, 5, "1234560001"),
    ],
)
def test_keys_are_img2datasets(shard: int, row: int, rows: int | None, key: str) -> None:
    assert shard_key(shard, row, rows) == key


def test_keys_of_a_shard_differ_and_sort_by_row() -> None:
    keys = [shard_key(3, row, 10_050) for row in range(10_050)]
    assert keys == sorted(set(keys))
