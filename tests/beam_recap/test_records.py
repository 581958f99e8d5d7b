from __future__ import annotations

import dataclasses
import pickle

import apache_beam as beam
import numpy as np
import pytest

from beam_recap.records import MAX_DETAIL_CHARS, Reason, Rejection, RejectionCoder, Sample, SampleCoder, Stage

FULL = Sample(
    unit="/in/a.parquet[0:2]",
    index=1,
    uid="u",
    key="000000001",
    url="http://example.com/ä\u0000.jpg",
    caption="日本語 🎈",
    source_row=1,
    source_id=-(2**63),
    source_width=2**63 - 1,
    source_height=0,
    license="cc",
    nsfw="UNLIKELY",
    image_bytes=b"\x00\xff",
    image=np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
    sha256="ab" * 32,
    width=4,
    height=2,
    image_format="PNG",
    thumbnail=b"",
    image_embedding=np.array([0.6, 0.8], np.float32),
    clip_score=-0.25,
    caption_cut=False,
    expected_digest="0" * 64,
    http_status=200,
    exif="{}",
    aesthetic_score=4.5,
    ocr_has_text=True,
    ocr_text="",
    ocr_boxes=0,
    ocr_confidence=0.0,
    ocr_area=1.0,
    ocr_complete=False,
    recaption="A red circle.",
    recaption_tokens=4,
    recaption_truncated=False,
    recaption_clip_score=0.3,
    recaption_cut=True,
)
PIXELS = ("image", "image_bytes", "image_embedding")


def assert_same(left: Sample, right: Sample) -> None:
    for field in dataclasses.fields(Sample):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        assert type(ours) is type(theirs), field.name
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name


def test_the_full_sample_of_these_tests_fills_every_field() -> None:
    assert [f.name for f in dataclasses.fields(Sample) if getattr(FULL, f.name) is None] == []


@pytest.mark.parametrize("sample", [FULL, Sample(unit="u", index=0, uid="x", key="k")], ids=["full", "bare"])
def test_a_sample_survives_its_registered_coder(sample: Sample) -> None:
    coder = beam.coders.registry.get_coder(Sample)
    assert isinstance(coder, SampleCoder)
    back = coder.decode(coder.encode(sample))
    assert type(back) is Sample
    assert_same(back, sample)


@pytest.mark.parametrize("reason", Reason)
def test_a_rejection_survives_its_registered_coder(reason: Reason) -> None:
    coder = beam.coders.registry.get_coder(Rejection)
    assert isinstance(coder, RejectionCoder)
    back = coder.decode(coder.encode(FULL.reject(Stage.FETCH, reason, "why")))
    assert type(back) is Rejection and type(back.reason) is Reason and type(back.stage) is Stage
    assert (back.stage, back.reason, back.detail) == (Stage.FETCH, reason, "why")
    assert_same(back.sample, FULL.without_image())


def test_coders_do_not_depend_on_the_class_being_pickled() -> None:
    """Another process may know the class under another name (``__main__``): only plain values travel."""
    for encoded in (SampleCoder().encode(FULL), RejectionCoder().encode(FULL.reject(Stage.READ, Reason.TIMEOUT))):
        assert b"beam_recap" not in encoded
        assert isinstance(pickle.loads(encoded), tuple)


@pytest.mark.parametrize("coder", [SampleCoder(), RejectionCoder()])
def test_coders_are_no_keys(coder: beam.coders.Coder) -> None:
    assert not coder.is_deterministic()


def test_a_rejection_keeps_text_and_numbers_but_no_pixels() -> None:
    rejected = FULL.reject(Stage.OCR, Reason.HAS_TEXT, "SALE")
    for field in dataclasses.fields(Sample):
        expected = None if field.name in PIXELS else getattr(FULL, field.name)
        assert getattr(rejected.sample, field.name) == expected, field.name


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
