from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.flag_values import as_text
from beam_recap.language import LANGUAGE_CODES
from beam_recap.prefilter import BASIC, DERIVED, OPERATORS, Condition, parse_conditions, parse_number, prefilter, shown


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("similarity>0.3", Condition("similarity", ">", 0.3)),
        (" similarity  >=  .30 ", Condition("similarity", ">=", 0.3)),
        ("a<-5", Condition("a", "<", -5.0)),
        ("a<=+1E3", Condition("a", "<=", 1000.0)),
        ("a==5.", Condition("a", "==", 5.0)),
        ("dc:score-b/32!=0", Condition("dc:score-b/32", "!=", 0.0)),
        ("nsfw==UNLIKELY", Condition("nsfw", "==", "UNLIKELY")),
        ("nsfw=='5'", Condition("nsfw", "==", "5")),
        ('nsfw!="a ""b"", c"', Condition("nsfw", "!=", 'a "b", c')),
        ("nsfw!='it''s'", Condition("nsfw", "!=", "it's")),
        ("nsfw==' padded '", Condition("nsfw", "==", "padded")),
        ("nsfw==1_000", Condition("nsfw", "==", "1_000")),
        ("nsfw==３", Condition("nsfw", "==", "３")),
        ('"my, column"<5', Condition("my, column", "<", 5.0)),
        ("Ähnlichkeit>0", Condition("Ähnlichkeit", ">", 0.0)),
        ("caption_words>2", Condition("caption_words", ">", 2.0, True)),
        ('"caption_words">2', Condition("caption_words", ">", 2.0, True)),
        ("column:caption_words>2", Condition("caption_words", ">", 2.0)),
        ('"column:my column">2', Condition("my column", ">", 2.0)),
        ("column:column:x>2", Condition("column:x", ">", 2.0)),
        ("column:similarity>0.3", Condition("similarity", ">", 0.3)),
        ("language==EN", Condition("language", "==", "en", True)),
        ('language!="zh"', Condition("language", "!=", "zh", True)),
        ("column:language==klingon", Condition("language", "==", "klingon")),
        ("basic>3", Condition("basic", ">", 3.0)),
    ],
)
def test_a_condition_is_read(text: str, condition: Condition) -> None:
    assert parse_conditions(text) == (condition,)
    assert parse_conditions(str(condition)) == (condition,)


def test_conditions_are_separated_by_commas_and_count_once() -> None:
    assert prefilter("a>1,b>=2 , a > 1.0, c == 'x, y'") == ("a>1", "b>=2", 'c=="x, y"')


@pytest.mark.parametrize("text", ["none", "None", " NONE "])
def test_none_is_no_condition(text: str) -> None:
    assert prefilter(text) == ()
    assert as_text(prefilter(text)) == "none"


def test_basic_is_datacomps_filter_written_out() -> None:
    # baselines/apply_filter.py: en, more than 2 words, more than 5 characters, 200 px, 3.0.
    written = ("language==en", "caption_words>2", "caption_chars>5", "min_side>=200", "aspect_ratio<=3")
    assert prefilter("basic") == prefilter(BASIC) == written
    assert prefilter("caption_words>2,basic , similarity>0.3") == (
        "caption_words>2",
        "language==en",
        *written[2:],
        "similarity>0.3",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty condition"),
        ("  ", "empty condition"),
        (",", "empty condition"),
        ("a>1,", "empty condition"),
        ("a>1,,b>2", "empty condition"),
        ("a", "cannot be read at 'a'"),
        ("a>", "cannot be read at 'a>'"),
        (">3", "cannot be read at '>3'"),
        ("a>1 b>2", "cannot be read at 'a>1 b>2'"),
        ("my column>3", "cannot be read at 'my column>3'"),
        ("Basic", "cannot be read"),
        ("a>1,basic b", "cannot be read at 'basic b'"),
        ("a>'3", "cannot be read"),
        ("a>'3'x", "cannot be read"),
        ("a=0.3", "unknown comparison '='; give >, >=, <, <=, == or !="),
        ("a=>0.3", "unknown comparison '=>'"),
        ("a>>3", "unknown comparison '>>'"),
        ("a===3", "unknown comparison '==='"),
        ("a>x", "texts are compared by == and != only; give one of them, or a number without quotes"),
        ("a>'3'", "texts are compared by == and != only"),
        ("a==''", "with nothing; give a value"),
        ("a=='  '", "with nothing; give a value"),
        ("''>3", "without a column"),
        ("column:>3", "without a column"),
        ("a>nan", "compares with nan; give a finite number"),
        ("a==-Infinity", "give a finite number"),
        ("a<1e999", "out of range; give"),
        ("caption_words=='3'", "caption_words is a number; give one without quotes"),
        ("min_side>=wide", "min_side is a number; give one"),
        ("language==english", "unknown language english; give an ISO 639-1 code"),
        ("language==xx", "unknown language xx; give"),
        ("language==ceb", "unknown language ceb; give"),
        ("language==3", "unknown language 3; give"),
        ("language>en", "texts are compared by == and != only; give one of them"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        prefilter(text)
    message = str(caught.value)
    assert problem in message
    assert "give " in message
    assert "\n" not in message


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(min_size=1).map(str.strip).filter(bool)
_NAMES = st.one_of(st.text(min_size=1).filter(str.strip), st.sampled_from([*DERIVED, "basic", "column:x", "none"]))
_OF_COLUMNS = st.one_of(
    st.builds(Condition, _NAMES, st.sampled_from(list(OPERATORS)), _NUMBERS),
    st.builds(Condition, _NAMES, st.sampled_from(["==", "!="]), _TEXTS),
)
_DERIVED = st.one_of(
    st.builds(Condition, st.sampled_from(DERIVED[:5]), st.sampled_from(list(OPERATORS)), _NUMBERS, st.just(True)),
    st.builds(
        Condition,
        st.just("language"),
        st.sampled_from(["==", "!="]),
        st.sampled_from(sorted(LANGUAGE_CODES)),
        st.just(True),
    ),
)


@given(st.lists(st.one_of(_OF_COLUMNS, _DERIVED), min_size=1, max_size=5))
def test_conditions_survive_being_written(conditions: list[Condition]) -> None:
    unique = tuple(dict.fromkeys(conditions))
    text = ",".join(map(str, conditions))
    assert parse_conditions(text) == unique
    written = prefilter(text)
    # A config's value is written to summaries as one text, which gives the same value again.
    assert prefilter(as_text(written)) == written == tuple(map(str, unique))


@given(st.text(alphabet=st.sampled_from("ab>=<!,'\" .15en:\n\t\\\x00é"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        written = prefilter(text)
    except ValueError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400
    else:
        assert prefilter(as_text(written)) == written


@pytest.mark.parametrize(
    "text",
    ["a" * 300_000, ">" * 300_000, "'" * 300_001, " " * 300_000, "a>" + "9" * 300_000, "a>1," * 50_000, "a>1" * 99_999],
)
def test_long_texts_take_no_long_time(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError):
        prefilter(text)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.3", 0.3), (" 1 ", 1.0), ("-.5e-1", -0.05), ("inf", math.inf), ("-Infinity", -math.inf), ("1e999", math.inf)],
)
def test_texts_that_are_numbers(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "abc", "1_000", "1,5", "0x10", "３", "1e", ".", "1.2.3", "--1", "9" * 6000])
def test_texts_that_are_no_numbers(text: str) -> None:
    assert parse_number(text) is None


def test_strangers_texts_are_shown_in_one_bounded_line() -> None:
    assert shown("a\n\tb\x1b[0m  c") == "a b [0m c"
    assert shown("x" * 60) == "x" * 60
    assert len(shown("x" * 10_000_000)) == 61
    assert shown(" " * 500 + "x").endswith("…")
