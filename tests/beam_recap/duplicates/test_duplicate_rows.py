"""What is compared of a row."""

from __future__ import annotations

import math
import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.duplicate_rows import row

from beam_recap.duplicates.rows import (
    Place,
    decide,
    describe,
    distinct,
    fold_caption,
    of_sample,
    pack_embedding,
    rank,
)
from beam_recap.records import Reason, Sample

SHA = "ab" * 32


def sample(index: int = 0, **fields) -> Sample:
    return Sample(unit="shard.parquet[0:2000]", index=index, uid="uid", key="k", **fields)


def test_a_sample_becomes_a_small_row() -> None:
    embedding = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    made = of_sample(
        sample(
            3,
            url="https://example.com/a.jpg",
            caption="A dog",
            sha256=SHA,
            clip_score=0.3,
            aesthetic_score=5.5,
            embedding=pack_embedding(embedding),
        ),
        cluster=7,
    )
    assert made.place == Place("shard.parquet[0:2000]", 3)
    assert (made.uid, made.similarity, made.aesthetic, made.cluster) == ("uid", 0.3, 5.5, 7)
    assert made.image_digest == bytes.fromhex(SHA)
    assert len(made.row_digest) == len(made.caption_digest) == 16
    assert len(made.embedding) == 1024
    assert len(pickle.dumps(made, protocol=5)) < 1600
    assert pickle.loads(pickle.dumps(made)) == made


def test_what_a_sample_lacks_is_none() -> None:
    made = of_sample(sample())
    fields = (made.image_digest, made.row_digest, made.caption_digest, made.similarity, made.aesthetic, made.cluster)
    assert fields == (None,) * 6
    assert made.embedding is None
    assert of_sample(sample(url="u")).row_digest is None
    assert of_sample(sample(caption="c")).row_digest is None
    assert of_sample(sample(url="u", caption=" \n")).caption_digest is None


def test_rows_are_the_same_by_url_and_caption_to_the_letter() -> None:
    def digest(url: str, caption: str) -> bytes | None:
        return of_sample(sample(url=url, caption=caption)).row_digest

    assert digest("u", "a dog") == digest("u", "a dog")
    different = [("u", "A dog"), ("u", "a dog "), ("v", "a dog"), ("ua", " dog"), ("u", "")]
    assert len({digest(*pair) for pair in [*different, ("u", "a dog")]}) == 6
    assert digest("u\ud800", "half a character") is not None


@pytest.mark.parametrize(
    "caption",
    ["Buy  Now ", "buy now", "BUY\tNOW", "\n\u3000buy\u00a0now", "Ｂｕｙ Ｎｏｗ"],
)
def test_captions_of_spam_are_compared_loosely(caption: str) -> None:
    assert fold_caption(caption) == "buy now"
    assert of_sample(sample(caption=caption)).caption_digest == of_sample(sample(caption="buy now")).caption_digest


def test_folding_knows_case_beyond_ascii() -> None:
    assert fold_caption("STRASSE") == fold_caption("Straße") == "strasse"
    assert fold_caption("ΣΊΣΥΦΟΣ") == fold_caption("σίσυφος") == fold_caption("σίσυφοσ")
    assert fold_caption("Cafe\u0301") == fold_caption("CAFÉ")


@given(st.text())
def test_folding_is_done_after_once(caption: str) -> None:
    assert fold_caption(fold_caption(caption)) == fold_caption(caption)


def test_a_caption_of_combining_marks_does_not_hang() -> None:
    started = time.perf_counter()
    folded = fold_caption("a" + "\u0301\u0316" * 500_000)
    assert time.perf_counter() - started < 10  # more than an hour if it were normalised as a whole
    assert len(folded) > 900_000
    long = "word " * 1000
    assert fold_caption(f"{long}one") != fold_caption(f"{long}two")


def test_an_embedding_is_stored_at_unit_length() -> None:
    numbers = np.random.default_rng(0).standard_normal(768)
    for factor in (1e-30, 1, 1e30):
        half = np.frombuffer(pack_embedding((numbers * factor).astype(np.float32)), dtype="<f2")
        assert half.astype(np.float64) @ numbers / np.linalg.norm(numbers) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("number", [0.0, math.nan, math.inf, -math.inf])
def test_an_embedding_without_direction_is_none(number: float) -> None:
    assert pack_embedding(np.full(8, number, np.float32)) is None


def test_the_best_is_first() -> None:
    ordered = [
        row(0, uid="z", similarity=0.4, aesthetic=None),
        row(1, uid="b", similarity=0.3, aesthetic=6.0),
        row(2, uid="a", similarity=0.3, aesthetic=5.0),
        row(3, uid="b", similarity=0.3, aesthetic=5.0),
        row(4, uid="b", similarity=0.3, aesthetic=5.0),
        row(5, uid="a", similarity=0.3, aesthetic=None),
        row(6, uid="a", similarity=-1.0),
        row(7, uid="b", aesthetic=9.0),
        row(8, uid="a"),
        row(9, uid="b", similarity=math.nan),
        row(0, unit="v", uid="b"),
    ]
    assert sorted(ordered[::-1], key=rank) == ordered


def test_a_place_counts_once() -> None:
    rows = [row(0), row(1), row(0), row(0, unit="v")]
    assert sorted(one.place for one in distinct(rows)) == [("u", 0), ("u", 1), ("v", 0)]
    unequal = [row(0, similarity=0.1), row(0, similarity=0.2), row(0, similarity=0.2, uid="x"), row(0)]
    for turn in range(4):
        assert distinct(unequal[turn:] + unequal[:turn]) == [unequal[1]]


def test_details_name_a_row_and_stay_short() -> None:
    assert describe(row(3, unit="a.parquet[0:9]", uid="x")) == "x, row 3 of a.parquet[0:9]"
    long = row(3, unit="u" * 1000, uid="x" * 1000)
    detail = decide(long, Reason.DUPLICATE_ROW, describe(long)).detail
    assert len(detail) == 500 and "row 3 of uuu" in detail
