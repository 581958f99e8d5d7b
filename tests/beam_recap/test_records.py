from __future__ import annotations

import dataclasses

import pytest
from support.full_row import FULL, NOT_REJECTED, assert_same

from beam_recap.records import MAX_DETAIL_CHARS, Reason, Sample, Stage


def test_the_full_sample_of_these_tests_fills_every_field() -> None:
    assert [f.name for f in dataclasses.fields(Sample) if getattr(FULL, f.name) is None] == []


def test_a_rejection_keeps_text_numbers_and_pixels_but_no_encoded_bytes() -> None:
    rejected = FULL.reject(Stage.OCR, Reason.HAS_TEXT, "SALE")
    assert_same(rejected.sample, dataclasses.replace(FULL, **dict.fromkeys(NOT_REJECTED)))


def test_a_rejections_detail_is_bounded() -> None:
    assert len(FULL.reject(Stage.READ, Reason.CORRUPT_SHARD, "x" * 10_000).detail) == MAX_DETAIL_CHARS


def test_rows_are_frozen_and_slotted() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.index = 2  # type: ignore[misc]
    assert not hasattr(FULL, "__dict__")
    assert not hasattr(FULL.reject(Stage.READ, Reason.TIMEOUT), "__dict__")


def test_what_was_not_computed_is_none() -> None:
    bare = Sample(unit="u", index=0, uid="x", key="k")
    filled = {field.name for field in dataclasses.fields(Sample) if getattr(bare, field.name) is not None}
    assert filled == {"unit", "index", "uid", "key"}


def test_only_failures_that_may_pass_are_transient() -> None:
    assert {str(reason) for reason in Reason if reason.is_transient} == {
        "host_down",
        "dns",
        "refused",
        "reset",
        "connection_error",
        "timeout",
        "too_slow",
        "http_429",
        "http_5xx",
        "out_of_memory",
        "model_error",
    }
