"""What counts as a quote, and which quotes OCR has seen."""

import pytest
from hypothesis import given
from support.captions import ANY_TEXT

from beam_recap.caption_quotes import quotes, unseen_quotes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('the words "OPEN" and "CLOSED"', ["OPEN", "CLOSED"]),
        ('a "HELLO," sign, a "HELLO" sign', ["HELLO"]),
        ('reads "SALE."', ["SALE"]),
        ("the words 'Don't Panic' in red", ["Don't Panic"]),
        ("the words ‘Don’t Panic’ in red", ["Don’t Panic"]),
        ("“A” „B“ „C” ‚D‘ «E» « F » »G« ‹H› 「I」『J』", list("ABCDEFGHIJ")),
        ("标志上写着＂营业中＂字样", ["营业中"]),
        ('标志上写着"营业中"字样', ["营业中"]),
        ("the dogs' bowls, the cat's toys and John's house", []),
        ("a '90s poster of the dogs' show", []),
        ('a 5" x 7" frame', []),
        ('a 5"-wide tape and a 7" one', []),
        ('a 5" screen and the words "BIG SALE" on it', ["BIG SALE"]),
        ("\"outer 'inner' words\"", ["outer 'inner' words"]),
        ("「外『内』」", ["外『内』"]),
        ('"never closed and more', []),
        ('the words "OPEN and "CLOSED"', ["CLOSED"]),
        ('one line "and\nanother"', []),
        ('"" \'\' “” ‘’ «» 「」 " "', []),
        ('"' + "long " * 101 + '"', []),
        ("", []),
    ],
)
def test_what_is_a_quote(text: str, expected: list[str]) -> None:
    assert quotes(text) == expected


@pytest.mark.parametrize(
    ("text", "ocr_text", "expected"),
    [
        ('the word "OPEN"', None, None),
        ("no quote", None, None),
        ("no quote", "SALE", []),
        ('the word "OPEN"', "", ["OPEN"]),
        ('the word "OPEN"', "now open!", []),
        ('the word "Open"', "Opens", ["Open"]),  # four letters
        ('the word "Sale"', "Safe", ["Sale"]),
        ('the word "Welcome"', "Wclcome home", []),
        ('the word "Welcome"', "Welcme", []),
        ('the word "Welcome"', "Wellcome", []),
        ('the word "Welcome"', "Wclc0me", ["Welcome"]),  # two edits
        ('the year "20240"', "20241", ["20240"]),  # another number
        ('the word "!!!"', "", []),  # nothing to be seen
        ('the words "OPEN DAILY"', "OPENDAILY 9-5", []),  # OCR lost the space
        ('the word "COCACOLA"', "COCA COLA", []),
        ('the words "HOME WELCOME"', "WELCOME HOME", []),
        ('the words "Hello World Peace"', "HELLO WORLD", ["Hello World Peace"]),
        ('"one" and "two" and "three"', "two", ["one", "three"]),
        ("「営業中」の看板", "本日営業中", []),
        ("「営業中」の看板", "業営中", ["営業中"]),
        ('"Straße" and "ＦＵＬＬ"', "STRASSE full", []),
        ('"café"', "cafe\u0301", []),
    ],
)
def test_what_ocr_saw(text: str, ocr_text: str | None, expected: list[str] | None) -> None:
    assert unseen_quotes(text, ocr_text) == expected


@given(ANY_TEXT)
def test_every_quote_of_a_text_is_seen_in_that_text(text: str) -> None:
    assert unseen_quotes(text, text) == []


@given(ANY_TEXT)
def test_only_quotes_can_be_unseen(text: str) -> None:
    unseen = unseen_quotes(text, "")
    assert unseen is not None
    assert set(unseen) <= set(quotes(text))
    assert all(quote in text for quote in unseen)
