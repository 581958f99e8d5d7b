"""The judgement of a caption, the preference of two, and hostile text."""

import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.captions import ANY_TEXT, GOOD

from beam_recap.caption_quality import (
    FLAGS,
    CaptionQuality,
    flags_of,
    is_prompt_echo,
    is_refusal,
    is_repetitive,
    judge_caption,
    preference,
    repetition,
    unseen_quotes,
)
from beam_recap.demo.scenes import describe, random_scene
from beam_recap.prompts import RECAP_PROMPT


def judge(text: str, ocr_text: str | None = None) -> CaptionQuality:
    return judge_caption(text, prompt=RECAP_PROMPT, ocr_text=ocr_text)


class TestPreference:
    def test_equal_captions_share_evenly(self) -> None:
        assert preference(0.3, 0.3, 100.0) == (50.0, 50.0)

    def test_a_difference_of_one_hundredth_at_clips_scale(self) -> None:
        original, recaption = preference(0.30, 0.31, 100.0)
        assert recaption == pytest.approx(100 * math.e / (1 + math.e))
        assert original == pytest.approx(100 / (1 + math.e))

    def test_large_scales_keep_the_small_share(self) -> None:
        assert preference(1.0, 0.0, 700.0) == (100.0, pytest.approx(100 * math.exp(-700), rel=1e-12))
        assert preference(-1.0, 1.0, 1e6) == (0.0, 100.0)
        assert preference(1.0, -1.0, 1e308) == (100.0, 0.0)

    @pytest.mark.parametrize("pair", [(None, 0.3), (0.3, None), (None, None)])
    def test_missing_is_missing(self, pair: tuple[float | None, float | None]) -> None:
        assert preference(*pair, 100.0) is None

    @pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
    def test_a_scale_that_is_none(self, scale: float) -> None:
        with pytest.raises(ValueError, match="logit_scale"):
            preference(0.1, 0.2, scale)

    @pytest.mark.parametrize("cosine", [math.inf, math.nan])
    def test_a_cosine_that_is_none(self, cosine: float) -> None:
        with pytest.raises(ValueError, match="finite"):
            preference(0.1, cosine, 100.0)

    @given(st.floats(-1, 1), st.floats(-1, 1), st.floats(1e-3, 1e6))
    def test_sums_to_100_and_is_symmetric(self, original: float, recaption: float, scale: float) -> None:
        first, second = preference(original, recaption, scale)
        assert 0 <= first <= 100
        assert 0 <= second <= 100
        assert first + second == pytest.approx(100, abs=1e-12)
        assert preference(recaption, original, scale) == (second, first)
        if original < recaption:
            assert first <= second


class TestJudgement:
    @pytest.mark.parametrize("caption", GOOD)
    def test_good_captions_have_no_flag(self, caption: str) -> None:
        assert flags_of(judge(caption), truncated=False) == []

    def test_captions_of_the_demonstration_have_no_flag(self) -> None:
        chance = random.Random(0)
        for _ in range(300):
            assert flags_of(judge(describe(random_scene(chance)), ocr_text=""), truncated=False) == []

    def test_all_flags_in_order(self) -> None:
        text = "USER: describe. I'm sorry, but I cannot view the image. " + 'a "red" car, ' * 20
        quality = judge(text, ocr_text="blue")
        assert quality.repetitive
        assert quality.refusal
        assert quality.prompt_echo
        assert quality.unseen_quotes == ["red"]
        assert flags_of(quality, truncated=True) == list(FLAGS)
        assert FLAGS == ("repetition", "refusal", "prompt_echo", "truncated", "unseen_quotes")

    def test_each_flag_alone(self) -> None:
        assert flags_of(judge("the " * 60), truncated=False) == ["repetition"]
        assert flags_of(judge("I am unable to view images."), truncated=False) == ["refusal"]
        assert flags_of(judge("ASSISTANT: A cat."), truncated=False) == ["prompt_echo"]
        assert flags_of(judge("A cat."), truncated=True) == ["truncated"]
        assert flags_of(judge('A sign that says "OPEN".', ocr_text="closed"), truncated=False) == ["unseen_quotes"]

    def test_what_is_not_known_raises_no_flag(self) -> None:
        quality = judge('A sign that says "OPEN".', ocr_text=None)
        assert quality.unseen_quotes is None
        assert flags_of(quality, truncated=None) == []

    @settings(max_examples=300)
    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT | st.none())
    def test_any_text_is_judged_as_its_parts_are(self, text: str, prompt: str, ocr_text: str | None) -> None:
        quality = judge_caption(text, prompt=prompt, ocr_text=ocr_text)
        assert quality == CaptionQuality(
            repetition(text),
            is_repetitive(text),
            is_refusal(text),
            is_prompt_echo(text, prompt),
            unseen_quotes(text, ocr_text),
        )
        assert (quality.unseen_quotes is None) == (ocr_text is None)


@pytest.mark.parametrize(
    "piece",
    [
        *("a", '"', '" ', "'", " 'a", "'a'b", "“", "‘a’b", "«", "»a", "「", "\n", ".", "#", "<|a", "<|" + "a " * 30),
        *("i'm sorry ", "i'm sorry.", "i cannot ", "while i ", "please provide me with the ", "as an ai ", ": but, "),
        *("against my a ", "no image ", "sure: ok, well: ", "USER", RECAP_PROMPT, "please generate a detailed "),
        *("a\u0315\u0300", "\u0315\u0300", "\ufdfa", "\ud800", "\u200d", "\0"),
    ],
)
def test_a_megabyte_of_hostile_text_is_judged_soon(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    start = time.monotonic()
    judge_caption(text, prompt=RECAP_PROMPT, ocr_text=text)
    judge_caption(f'A "{text}" sign', prompt=text, ocr_text=text)
    assert time.monotonic() - start < 20  # measured: at most 1 s
