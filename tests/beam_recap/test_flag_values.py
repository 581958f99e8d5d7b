"""Every reader tells the form of what it reads."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beam_recap.flag_values import (
    Kind,
    Reader,
    boolean,
    choice,
    each_of,
    form_of,
    holding_once,
    integer,
    listed,
    matching,
    names,
    number,
    one_and_more,
    or_none,
    patterns,
    ports,
    text,
)
from beam_recap.flags import FLAGS

# What each reads and what it refuses for its form.
READERS: dict[str, tuple[Reader, list[str], list[str]]] = {
    "text": (text, ["x", " x\ny ", "ü", "$", "a=b,c"], ["", " ", "\n\t"]),
    "patterns": (patterns, ["a", "gs://b/*.tar, c,", ",a"], ["", " ", ",", " , \n"]),
    "boolean": (boolean, ["true", "FALSE", "tRue"], ["", "yes", "1", "true ", "truefalse"]),
    "choice": (choice("a.b", "c+"), ["a.b", "c+"], ["", "axb", "c", "cc", "A.b", "a.bc+"]),
    "integer": (
        integer(-10, 10_000),
        ["5", "-3", " +7\n", "1_000", "007"],
        ["", "5.0", "1e3", "0x1", "1 2", "_1", "1_"],
    ),
    "number": (
        number(-10, 10_000, "give one"),
        ["5", "-.5", "5.", " 1e3 ", "1_0.5_0", "+2E-2"],
        ["", ".", "e3", "1e", "0x1", "1,5", "--1", "1 2", "1__0"],
    ),
    "names": (
        names("noai", "tdm-reservation", alias="all"),
        ["noai", " NoAI , tdm-reservation", "All"],
        ["", "no", "noai,"],
    ),
    "any names": (names(), ["a", "A b,c"], ["", " ", "a,", ",a", "a, ,b"]),
    "listed": (listed, ["none", "ViT-L-14/openai, b"], ["", "a,", "a,,b"]),
    "one_and_more": (
        one_and_more("parquet", ("webdataset",), "it is needed"),
        ["parquet", " Webdataset , PARQUET", "parquet,parquet"],
        ["", "parquet,", "parquet;webdataset", "tar,parquet", "xparquet"],
    ),
    "each_of": (each_of("clip", "ocr"), ["clip,ocr", " OCR , Clip"], ["", "clip;ocr", "clip,ocr,", "x,ocr"]),
    "ports": (ports, ["none", "80", "80, 443"], ["", "http", "80;443", "80,"]),
    "or_none": (or_none(integer(1, 9)), ["none", "NONE", "7"], ["", "no", "none7", "7none"]),
    "matching": (matching(r"[a-z]{1,3}", "is wrong"), ["a", "abc"], ["", "abcd", "a b"]),
    "holding_once": (
        holding_once("{caption}", "lacks it"),
        ["{caption}", "see {caption}!\n"],
        ["", "caption", "{other}"],
    ),
}
CASES = [pytest.param(reader, id=name) for name, (reader, _, _) in READERS.items()]


def _has_form(reader: Reader, value: str) -> bool:
    return re.fullmatch(reader.form, value, re.ASCII) is not None


@pytest.mark.parametrize(
    ("reader", "values"), [pytest.param(r, good, id=name) for name, (r, good, _) in READERS.items()]
)
def test_what_is_read_has_the_form(reader: Reader, values: list[str]) -> None:
    for value in values:
        reader(value)
        assert _has_form(reader, value), value


@pytest.mark.parametrize(("reader", "values"), [pytest.param(r, bad, id=name) for name, (r, _, bad) in READERS.items()])
def test_what_is_malformed_is_refused_and_has_not_the_form(reader: Reader, values: list[str]) -> None:
    for value in values:
        with pytest.raises(ValueError):
            reader(value)
        assert not _has_form(reader, value), value


_LETTERS = st.text(alphabet="0159+-_.eE, \tnoNEtrualsick-:/\u0660\u00a0\u212a{}", max_size=12)


@pytest.mark.parametrize("reader", CASES)
@given(value=_LETTERS | st.text(max_size=20))
@example(value="\u0665")  # a digit, to Python
@example(value="\u00a05")  # with a space, to Python
def test_nothing_is_read_that_has_not_the_form(reader: Reader, value: str) -> None:
    try:
        reader(value)
    except ValueError as error:
        assert str(error)
    else:
        assert _has_form(reader, value)


@given(value=st.integers(-10, 10_000))
def test_numbers_as_python_writes_them_are_read(value: int) -> None:
    assert integer(-10, 10_000)(str(value)) == value
    for written in (repr(float(value)), f"{value:e}", f"{value:_}"):
        assert number(-10, 10_000, "")(written) == value


def test_characters_of_other_scripts_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="write it in ASCII"):
        integer(1, 9)("\u0665")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flags_form_is_one_that_other_engines_read_alike(flag) -> None:
    form = form_of(flag.parse)
    re.compile(form)
    # No look-around, names, flags, back-references, possessive or lazy repetition; RE2 repeats 1,000 times at most.
    assert not re.search(r"\(\?(?!:)|\\[1-9AbBZ]|[*+?}][+?]", form), form
    assert all(int(most) <= 1000 for most in re.findall(r"\{\d*,?(\d+)\}", form))


def test_one_and_more_comes_in_one_order_and_names_what_is_lacking() -> None:
    formats = one_and_more("parquet", ("webdataset",), "others read it")
    assert formats("webdataset,parquet") == formats("parquet,webdataset") == ("parquet", "webdataset")
    assert formats("parquet") == ("parquet",)
    with pytest.raises(ValueError, match="lacks parquet: others read it; give parquet,webdataset"):
        formats("webdataset")
    with pytest.raises(ValueError, match="has the unknown part 'tar'; give parquet, or parquet,webdataset"):
        formats("parquet,tar")


def test_kinds_and_choices() -> None:
    assert (boolean.kind, integer(1, 2).kind, text.kind) == (Kind.BOOLEAN, Kind.NUMBER, Kind.TEXT)
    assert or_none(integer(1, 2)).kind is Kind.TEXT  # "none" is no number
    assert choice("a", "b").choices == ("a", "b")
    assert or_none(choice("a")).choices == ("a", "none")
    assert or_none(choice("a")).kind is Kind.CHOICE
    assert form_of(str.upper) == form_of(lambda value: value)
