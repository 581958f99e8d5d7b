"""The co-embedded text rate: vectors worked out by hand, rows printed in the paper, hostile input."""

import csv
import pathlib
import random

import pytest

from beam_recap.ocr.text_rate import TextRates, levenshtein, text_rates, words

TABLE_16 = pathlib.Path(__file__).parents[2] / ".." / "shared" / "reference" / "parrot-table16.csv"


@pytest.mark.parametrize(
    ("caption", "written", "strict", "normalised", "fuzzy"),
    [
        (
            "An orange cat with its mouth wide open above the words Wake up human!",
            "Wake up human!",
            3 / 14,
            3 / 14,
            3 / 14,
        ),
        (
            "A menu of the Google Cloud Bistro with salads and sandwiches.",
            "MENU Google Cloud Bistro SANDWICHES SALADS GCP Green Salad",
            3 / 11,
            6 / 11,
            6 / 11,
        ),
        (
            "Wine Sense: The Art of Appreciating Wine by Steve Shipley",
            "WINE SENSE The Art of Appreciating Wine Steve Shiple",
            6 / 9,
            7 / 9,
            8 / 9,
        ),
        ("a red circle", "", 0.0, 0.0, 0.0),
        ("how-to-make-bubbles", "how to make bubbles", 0.0, 1.0, 1.0),  # strict: one word
        ("buy buy buy now", "now now", 0.5, 0.5, 0.5),  # words count once
        ("Straße ﬁne ＡＢＣ", "STRASSE fine abc", 0.0, 1.0, 1.0),  # case folding and compatibility forms
        ("cafe\u0301 de Flore", "CAFÉ", 0.0, 1 / 3, 1 / 3),  # a combining accent
        ("前方の停止線です", "停止線", 0.0, 3 / 8, 3 / 8),  # per character
        ("one two", "tne twa", 0.0, 0.0, 0.0),  # under five letters nothing is fuzzy
    ],
)
def test_rates_of_known_pairs(caption: str, written: str, strict: float, normalised: float, fuzzy: float) -> None:
    assert text_rates(caption, written) == TextRates(
        pytest.approx(strict), pytest.approx(normalised), pytest.approx(fuzzy)
    )


@pytest.mark.parametrize(
    ("caption", "written", "expected"),
    [
        ("", "SALE", TextRates(None, None, None)),
        (" \n\t", "SALE", TextRates(None, None, None)),
        ("?! --", "SALE", TextRates(0.0, None, None)),  # two strict words, but none with a letter
        (None, "SALE", TextRates(None, None, None)),
        ("SALE", None, TextRates(None, None, None)),  # OCR did not run: not computed, not 0
    ],
)
def test_undefined_rates_are_null(caption: str | None, written: str | None, expected: TextRates) -> None:
    assert text_rates(caption, written) == expected


def test_words_of_mixed_scripts() -> None:
    assert words("IMG_2041 12.5% 停止 カメラ ไทย Ⅷ") == [
        *("img", "2041", "12", "5"),
        *("停", "止", "カ", "メ", "ラ", "ไ", "ท", "ย", "viii"),
    ]


def test_fuzzy_threshold_moves_the_line_and_is_checked() -> None:
    assert text_rates("newsletter", "newslettre").fuzzy == 1.0  # two of ten characters: exactly 0.8
    assert text_rates("newsletter", "newslettre", fuzzy_threshold=0.81).fuzzy == 0.0
    assert text_rates("newsletter", "newslettre", fuzzy_threshold=1.0).fuzzy == 0.0
    for wrong in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="fuzzy_threshold"):
            text_rates("a", "a", fuzzy_threshold=wrong)


def test_levenshtein_is_the_textbook_one() -> None:
    chance = random.Random(3)
    pairs = [("", ""), ("", "abc"), ("kitten", "sitting"), ("a" * 70, "a" * 69 + "b")]
    pairs += [("".join(chance.choices("abc", k=chance.randint(0, 12))), "abcabc") for _ in range(300)]
    for first, second in pairs:
        assert levenshtein(first, second) == levenshtein(second, first) == _textbook(first, second), (first, second)


def _textbook(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def test_rates_are_ordered_and_a_huge_caption_ends() -> None:
    chance = random.Random(5)

    def text(length: int) -> str:
        return " ".join("".join(chance.choices("abcdeE.", k=chance.randint(3, 14))) for _ in range(length))

    for caption, written in [(text(30), text(30)) for _ in range(20)] + [(text(20_000), text(20_000))]:
        rates = text_rates(caption, written)
        assert rates.strict is not None and 0 <= rates.strict <= 1
        assert rates.normalised is not None and rates.fuzzy is not None
        assert 0 <= rates.normalised <= rates.fuzzy <= 1
    assert text_rates("x" * 1_000_000, "x" * 999_999).fuzzy == 0.0


@pytest.mark.skipif(not TABLE_16.exists(), reason="the table is not here")
def test_every_row_of_the_papers_table_16_parrots() -> None:
    rows = list(csv.DictReader(TABLE_16.open(encoding="utf-8")))
    rates = [text_rates(row["caption"], row["spotted_text"]) for row in rows]
    assert len(rates) == 21
    assert all(rate.normalised for rate in rates)
    assert sum(bool(rate.strict) for rate in rates) == 20  # "how-to-make-bubbles-that-bounce" is one strict word
    spotter_alphabet = [text_rates(row["caption"], row["spotted_text"].lower()).normalised for row in rows]
    assert spotter_alphabet == [rate.normalised for rate in rates]  # the paper's spotter writes lower case only
