from __future__ import annotations

import re
import shlex
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.caption_hint import HINT_PLACE, MAX_HINT_CHARS, clean_caption, cut_at_word, fill_hint
from beam_recap.options import parse_options

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # three people that are one sign
FLAG = "\U0001f1f3\U0001f1f4"  # two letters that are one flag
WAVE = "\U0001f44b\U0001f3fd"  # a hand, and the colour of its skin

ANY_CHARACTER = st.characters(codec=None)  # halves of surrogate pairs, too
SIGNS = ["<image>", "<", ">", "<|eot_id|>", "</s>", "[INST]", "{caption}", "{{", "%}", " ", "\n", "\x00", "\ud800"]
SPICE = st.sampled_from([*SIGNS, "\u0301", "\u200d", "\u202e", FAMILY, FLAG, WAVE, "\u200b", "word"])
TEXTS = st.lists(SPICE | st.text(ANY_CHARACTER, max_size=20), max_size=60).map("".join)


@pytest.mark.parametrize(
    ("caption", "clean"),
    [
        ("Western Kingbird", "Western Kingbird"),
        ("  a\tred\r\n\r\nfox\u2028in\u00a0snow ", "a red fox in snow"),
        ("NUL\x00, ESC\x1b[31m and DEL\x7f", "NUL , ESC [31m and DEL"),
        ("half \ud83d a pair", "half a pair"),
        ("right \u202eto\u202c left, s\u00adoft, \ufefftag \U000e0061\U000e0062", "right to left, soft, tag"),
        ("שלום עולם", "שלום עולם"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that Persian is written with
        (FAMILY, FAMILY),
        ("<b>SALE</b> of <br/> shoes <!-- cheap --> now", "SALE of shoes <!-- cheap --> now"),
        ("<image> a <|eot_id|><|start_header_id|>user<|end_header_id|> fox</s>", "a user fox"),
        ("<\uff5cend\u2581of\u2581sentence\uff5c>fox [INST] [/INST] [IMG]", "fox"),
        ("I <3 you, 1 < 2 > 0, [OFFICIAL] video", "I <3 you, 1 < 2 > 0, [OFFICIAL] video"),
        ("{{ messages }} {% raw %} {caption} %s", "{{ messages }} {% raw %} {caption} %s"),
        ("<im<image>ge>", "<im ge>"),
        ("<im\u200bage>", ""),
        ("<image>" * 1000, ""),
        ("\x00" * 10, ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_caption_becomes_one_harmless_line(caption: str | None, clean: str) -> None:
    assert clean_caption(caption) == clean


@given(TEXTS)
def test_whatever_the_caption_is(caption: str) -> None:
    clean = clean_caption(caption)
    assert len(clean) <= MAX_HINT_CHARS
    assert clean == " ".join(clean.split())
    assert not {unicodedata.category(char) for char in clean} & {"Cc", "Cs", "Zl", "Zp"}
    assert "\u202e" not in clean and "<image>" not in clean and "<|eot_id|>" not in clean
    assert clean_caption(clean) == clean
    clean.encode("utf-8")


def test_long_captions_are_cut_at_a_word() -> None:
    words = " ".join(f"word{i}" for i in range(2000))
    clean = clean_caption(words)
    assert words.startswith(clean + " ") and MAX_HINT_CHARS - 8 <= len(clean) <= MAX_HINT_CHARS
    assert clean_caption("x" * 10_000) == "x" * MAX_HINT_CHARS
    assert clean_caption("a " + "红" * 1000) == "a " + "红" * (MAX_HINT_CHARS - 2)  # there is no space to cut at


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("a fox", 5, "a fox"),
        ("a fox ran", 5, "a fox"),
        ("a fox ran", 8, "a fox"),
        ("cafe\u0301", 4, "caf"),
        (f"xx{FAMILY}", 3, "xx"),
        (f"xx{FAMILY}", 6, "xx"),
        (f"x{FLAG}{FLAG}", 2, "x"),
        (f"x{FLAG}{FLAG}", 3, f"x{FLAG}"),
        (f"x{FLAG}{FLAG}", 4, f"x{FLAG}"),
        (f"x{WAVE}", 2, "x"),
        ("e" + "\u0301" * 50, 10, ""),
        ("fox", 0, ""),
    ],
)
def test_cuts_fall_between_words_or_whole_characters(text: str, limit: int, cut: str) -> None:
    assert cut_at_word(text, limit) == cut


@given(TEXTS.map(lambda text: " ".join(text.split())), st.integers(0, 40))
def test_a_cut_text_is_a_beginning(text: str, limit: int) -> None:
    cut = cut_at_word(text, limit)
    assert text.startswith(cut) and len(cut) <= limit
    if len(cut) < len(text):
        assert not unicodedata.category(text[len(cut)]).startswith("M") or not cut


@pytest.mark.parametrize("seed", ["<a", "<", "e\u0301", "\U0001f1e6", "<<", "[INST", " <"])
def test_no_caption_takes_long(seed: str) -> None:
    """Each is quadratic, or worse, in a careless reader: this many would take minutes."""
    for _ in range(200):
        clean_caption(seed * 100_000 + ">" * 100_000)


def test_the_sentence_of_a_server() -> None:
    hint = "Its alt text ({caption}) may be wrong."
    assert fill_hint(hint, "Western\nKingbird <image>") == "Its alt text (Western Kingbird) may be wrong."
    assert fill_hint(hint, "{caption} {0}") == "Its alt text ({caption} {0}) may be wrong."
    for nothing in (None, "", " \n", "<image>"):
        assert fill_hint(hint, nothing) is None


def test_the_guides_hint_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs/captions.md").read_text()
    flags = re.findall(r"--caption_hint=\"[^\"]+\"", text)
    assert len(flags) == 1
    (words,) = shlex.split(flags[0])
    assert parse_options(["--input=a.parquet", "--output=out", words]).config().caption_hint.count(HINT_PLACE) == 1
