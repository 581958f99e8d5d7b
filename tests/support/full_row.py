"""A row with every field filled, to see what survives where."""

from __future__ import annotations

import dataclasses

import numpy as np

from beam_recap.records import Sample

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
    download_bytes=2,
    thumbnail=b"",
    picture="000001-0.pictures:0:2",
    image_embedding=np.array([0.6, 0.8], np.float32),
    clip_score=-0.25,
    caption_lost=0.25,
    embedding=b"\x00<",
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
    recaption_hinted=True,
    recaption_repetition=0.25,
    recaption_flags=("unseen_quotes",),
    unseen_quotes=("sale",),
    recaption_clip_score=0.3,
    clip_logit_scale=100.0,
    caption_rating=3,
    recaption_rating=5,
    recaption_lost=0.0,
    more_clip_scores=(0.2, None),
    more_captions_lost=(0.0, 0.5),
    more_recaption_scores=(None, -1.0),
    more_recaptions_lost=(0.0, 0.0),
    more_logit_scales=(100.0, None),
    cluster=3999,
    seconds=(0.5, None, 0.0, None, None),
)
NOT_REJECTED = ("image_bytes", "image_embedding", "embedding")  # what a rejection does not carry


def assert_same(left: Sample, right: Sample) -> None:
    for field in dataclasses.fields(Sample):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        assert type(ours) is type(theirs), field.name
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name
