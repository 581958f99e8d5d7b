"""Sums of rows: worked out by hand, and the same however rows are split."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audits import TABLE_16, judged, tally_of

from beam_recap.audit.figures import build_figures
from beam_recap.audit.observation import NO_OCR, CaptionOverlap, Observation, observe_rejection, observe_sample
from beam_recap.audit.tally import RATE_UNIT, Tally, bucket_of
from beam_recap.records import Reason, Sample, Stage

ROWS = [
    judged(0, "SALE now on", "SALE"),  # 1/3 by all three
    judged(1, "sale now on", "SALE"),  # strict 0
    judged(2, "newsletter", "newslettre"),  # fuzzy only
    judged(3, "a red circle", None),
    judged(4, "a red circle", ""),  # text that nobody can read
    judged(5, None, "SALE"),
    judged(6, "?!", "SALE"),  # a strict word, but no other
    judged(7, "one two", "one", complete=False),  # 1/2
    Observation("row 8", "a lost picture", problem="fetch: http_404"),
]


def figures(rows: list[Observation]) -> dict:
    return build_figures(tally_of(rows), resamples=200, seed=0, buckets=1000)


def test_counts_worked_out_by_hand() -> None:
    found = figures(ROWS)
    assert found["images"] == {
        "read": 9,
        "judged": 8,
        "not_judged": 1,
        "not_judged_by_reason": {"fetch: http_404": 1},
        "with_text": 7,
        "with_text_that_cannot_be_read": 1,
        "with_text_not_read_to_its_end": 1,
    }
    assert (found["with_text"]["count"], found["with_text"]["of"], found["with_text"]["value"]) == (7, 8, 7 / 8)
    assert found["captions"] == {
        "missing": 1,
        "without_words": 1,
        "with_words": 6,
        "with_words_and_text_in_the_image": 5,
    }


@pytest.mark.parametrize(
    ("rate", "total", "words", "of_words", "of_text_words", "parrots", "captions"),
    [
        ("strict", 1 / 3 + 1 / 2, 2, 3 + 3 + 1 + 3 + 3 + 1 + 2, 3 + 3 + 1 + 3 + 1 + 2, 2, 7),
        ("normalised", 2 / 3 + 1 / 2, 3, 3 + 3 + 1 + 3 + 3 + 2, 3 + 3 + 1 + 3 + 2, 3, 6),
        ("fuzzy", 2 / 3 + 1 / 2 + 1, 4, 15, 12, 4, 6),
    ],
)
def test_rates_worked_out_by_hand(
    rate: str, total: float, words: int, of_words: int, of_text_words: int, parrots: int, captions: int
) -> None:
    found = figures(ROWS)["rates"][rate]
    assert found["mean"]["value"] == pytest.approx(total / captions, abs=1e-8)
    assert found["mean_in_text_images"]["value"] == pytest.approx(total / (captions - 1), abs=1e-8)
    assert (found["words"]["count"], found["words"]["of"]) == (words, of_words)
    assert (found["words_in_text_images"]["count"], found["words_in_text_images"]["of"]) == (words, of_text_words)
    assert (found["parrot"]["count"], found["parrot"]["of"]) == (parrots, captions)
    assert found["parrot_in_text_images"]["of"] == captions - 1


def test_missing_captions_are_undefined_and_not_0() -> None:
    found = figures([judged(0, None, "SALE"), judged(1, None, None)])
    assert all(value is None for value in found["rates"]["normalised"].values())
    assert found["with_text"]["value"] == 0.5
    assert figures([])["with_text"] is None


def test_no_text_anywhere_is_a_rate_of_0() -> None:
    found = figures([judged(0, "a red circle", None)])["rates"]["normalised"]
    assert found["mean"]["value"] == 0
    assert found["mean_in_text_images"] is None


def test_the_papers_identity() -> None:
    """Table 1 of arXiv 2312.14232, LAION-2B: 54.597 % with text at 28.24 % are 15.42 % of all."""
    share, in_text = 0.54597, 0.2824
    rows = []
    for number in range(100_000 // 20):
        if number < share * 5000:
            # 25 words; 7.06 of them common on average.
            common = 7 + (number % 50 < 3)
            caption = " ".join(f"w{word}" for word in range(25))
            rows.append(judged(number, caption, " ".join(f"w{word}" for word in range(common))))
        else:
            rows.append(judged(number, "a b c", None))
    found = build_figures(tally_of(rows), resamples=0, seed=0, buckets=1000)
    mean, mean_in_text = (found["rates"]["normalised"][name]["value"] for name in ("mean", "mean_in_text_images"))
    assert found["with_text"]["value"] == pytest.approx(share, abs=1e-4)
    assert mean_in_text == pytest.approx(in_text, abs=2e-4)
    assert mean == pytest.approx(0.1542, abs=1e-4)
    assert mean == pytest.approx(found["with_text"]["value"] * mean_in_text, abs=1e-12)


def test_the_papers_table_16() -> None:
    """All words that it prints as spotted are found in the captions; by the strict rate one row has none."""
    assert len(TABLE_16) == 21
    for row in TABLE_16:
        overlap = CaptionOverlap.of(row["caption"], row["spotted_text"], 0.8)
        assert overlap.rates.strict == int(row["strict_common"]) / int(row["strict_words"])
        assert overlap.rates.normalised == int(row["common"]) / int(row["words"])
        spotted = set(re.findall("[a-z0-9]+", row["spotted_text"].casefold()))
        assert int(row["common"]) == len(spotted)
    rows = [judged(number, row["caption"], row["spotted_text"]) for number, row in enumerate(TABLE_16)]
    rates = figures(rows)["rates"]
    assert (rates["normalised"]["parrot"]["count"], rates["strict"]["parrot"]["count"]) == (21, 20)
    expected = sum(int(row["common"]) / int(row["words"]) for row in TABLE_16) / 21
    assert rates["normalised"]["mean"]["value"] == pytest.approx(expected, abs=1e-8)


@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_split_and_order_gives_the_same_sums(chance: random.Random, parts: int) -> None:
    rows = list(ROWS)
    chance.shuffle(rows)
    total = Tally()
    for part in range(parts):
        total.merge(tally_of(rows[part::parts]))
    whole = tally_of(ROWS)
    assert (total.rows, total.problems) == (whole.rows, whole.problems)
    assert np.array_equal(total.table(), whole.table())


def test_merging_leaves_the_other_tally_alone() -> None:
    first, second = Tally(), tally_of(ROWS)
    before = second.table().copy()
    first.merge(second)
    first.merge(second)
    first.add(ROWS[0], bucket_of("row 0", 0, 1000))
    assert np.array_equal(second.table(), before)


def test_rates_are_summed_as_whole_numbers() -> None:
    sums = tally_of([judged(number, "one two three", "one") for number in range(3)]).sums()
    assert sums["normalised_sum"] == 3 * round(RATE_UNIT / 3)
    assert sums["bin_3"] == 3


def test_equal_ids_share_a_bucket_and_others_spread() -> None:
    assert bucket_of("a", 1, 1000) == bucket_of("a", 1, 1000)
    assert len({bucket_of(f"row {number}", 0, 1000) for number in range(10_000)}) == 1000
    assert len({bucket_of("a", seed, 1000) for seed in range(20)}) > 15


def test_samples_and_rejections() -> None:
    sample = Sample(unit="u", index=0, uid="id", key="k", caption="SALE now", cluster=7)
    assert observe_sample(sample, 0.8) == Observation("id", "SALE now", 7, problem=NO_OCR)
    rejection = sample.reject(Stage.FETCH, Reason.TIMEOUT, "20 s")
    assert observe_rejection(rejection) == Observation("id", "SALE now", 7, problem="fetch: timeout")
