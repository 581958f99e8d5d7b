"""CaptionImage with original captions as hints, in a pipeline."""

from __future__ import annotations

import dataclasses

import pytest
from support.collected import run_stage
from support.hints import HINT, HOSTILE
from support.untrained_models import noise_images

from beam_recap.demo import paths
from beam_recap.records import Reason, Sample
from transforms.caption_image import CaptionImage, CaptionModel

CAPTIONS = ["a red fox", None, *HOSTILE[::4], "", "Western Kingbird"]


def samples() -> list[Sample]:
    return [
        Sample(unit="u", index=i, uid=f"uid{i}", key=str(i), image=image, caption=caption)
        for i, (image, caption) in enumerate(zip(noise_images(len(CAPTIONS)), CAPTIONS, strict=True))
    ]


def model(hint: str | None, engine: str = "auto") -> CaptionModel:
    return CaptionModel(str(paths.CAPTIONER), hint=hint, engine=engine, batch_size=4, max_new_tokens=12)


def test_every_row_has_its_caption_and_says_whether_it_was_hinted() -> None:
    rows = samples()
    kept, rejected = run_stage(rows, CaptionImage(model(HINT)))
    assert len(kept) + len(rejected) == len(rows)
    assert {rejection.reason for rejection in rejected} <= {Reason.EMPTY_RECAPTION}
    told = {row.index: row.recaption_hinted for row in kept}
    assert (told[0], told[1], told[len(rows) - 2], told[len(rows) - 1]) == (True, False, False, True)
    assert set(told.values()) == {True, False}
    assert [row.caption for row in kept] == [rows[row.index].caption for row in kept]  # as it came
    by_generate, _ = run_stage(rows, CaptionImage(model(HINT, "generate")))
    assert [row.recaption for row in by_generate] == [row.recaption for row in kept]


def test_without_the_sentence_captions_are_not_shown() -> None:
    rows = samples()
    kept, _ = run_stage(rows, CaptionImage(model(None)))
    bare, _ = run_stage([dataclasses.replace(row, caption=None) for row in rows], CaptionImage(model(None)))
    assert [row.recaption for row in kept] == [row.recaption for row in bare]
    assert {row.recaption_hinted for row in kept} == {None}


def test_neighbours_do_not_matter() -> None:
    rows = samples()
    together, _ = run_stage(rows, CaptionImage(model(HINT)))
    alone, _ = run_stage([rows[0], rows[-1]], CaptionImage(model(HINT)))
    assert [row.recaption for row in alone] == [together[0].recaption, together[-1].recaption]


def test_a_hint_that_cannot_be_shown_stops_before_any_row() -> None:
    with pytest.raises(ValueError, match=r"^--caption_hint=.*must hold \{caption\} once"):
        CaptionImage(model("{cap<image>tion} {caption}")).load()
