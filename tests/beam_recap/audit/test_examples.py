"""Which rows are shown, and that their choice does not depend on the order."""

from __future__ import annotations

import random

from support.audits import judged

from beam_recap.audit.examples import BestSoFar, example_of


def test_only_rows_that_repeat_something_are_examples() -> None:
    assert example_of(judged(0, "SALE now", None)) is None
    assert example_of(judged(0, None, "SALE")) is None
    assert example_of(judged(0, "SALE now", "BUY")) is None
    assert example_of(judged(0, "newsletter", "newslettre")) is not None


def test_the_higher_rate_comes_first_then_more_words() -> None:
    rows = [
        judged(0, "SALE now", "SALE"),  # 1/2
        judged(1, "SALE", "SALE"),  # 1 of 1
        judged(2, "big SALE now", "big SALE now"),  # 3 of 3
        judged(3, "newsletter", "newslettre"),  # fuzzy only
    ]
    examples = [example for row in rows if (example := example_of(row)) is not None]
    assert [example.rank[-1] for example in sorted(examples, key=lambda one: one.rank, reverse=True)] == [
        "row 2",
        "row 1",
        "row 0",
        "row 3",
    ]


def test_long_texts_are_cut() -> None:
    example = example_of(judged(0, "word " * 1000, "word " * 1000))
    assert example is not None
    assert (len(example.caption), len(example.ocr_text)) == (1000, 1000)


def test_the_best_are_always_taken() -> None:
    ranks = [(number / 1000, 0, number, str(number)) for number in range(1000)]
    random.Random(3).shuffle(ranks)
    best = BestSoFar(10)
    taken = [rank for rank in ranks if best.takes(rank)]
    assert set(sorted(ranks)[-10:]) <= set(taken)
    assert len(taken) < 150  # 10 + 10 ln(100) on average
