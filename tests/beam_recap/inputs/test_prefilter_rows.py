from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_recap.inputs.columns import Columns, recognise_columns
from beam_recap.inputs.prefilter_batches import batch_failures, schema_problem
from beam_recap.inputs.prefilter_rows import Prefilter
from beam_recap.language import detect_language
from beam_recap.prefilter import prefilter

COLUMNS = Columns("url", "text", source_width="original_width", source_height="original_height")
NAN, INF = math.nan, math.inf


def why(conditions: str, /, **row: Any) -> str | None:
    return Prefilter(prefilter(conditions)).failure(row, COLUMNS)


@pytest.mark.parametrize(
    ("condition", "passing", "failing"),
    [
        ("x>0.3", [0.30000000000000004, 1, INF], [0.3, 0.2811, -1, -INF]),
        ("x>=0.3", [0.3, 1], [0.29999999999999993, 0]),
        ("x<0.3", [0.29999999999999993, -INF], [0.3, 1]),
        ("x<=0.3", [0.3, 0, -1], [0.30000000000000004, INF]),
        ("x==0.3", [0.3, "0.3", b" 3e-1 ", Decimal("0.3")], [0.1 + 0.2, 0, "0.31"]),
        ("x!=0.3", [0.1 + 0.2, 0, "0", INF], [0.3, "0.3", Decimal("0.3")]),
        ("x==a", ["a", b"a", " a\n"], ["A", "b", "aa"]),
        ("x!=a", ["A", "b", b"aa"], ["a", " a "]),
        ("x=='5'", ["5", b"5"], ["5.0", "05"]),
        ("x==true", [True, "true"], [False, "True"]),
        ("x>2", [2**63, 10**400, "inf"], [-(10**400), "-Infinity", 2]),
        ("x==9007199254740992", [2**53, 2**53 + 1, str(2**53 + 1)], [2**53 + 2]),  # compared as float64
    ],
)
def test_operators(condition: str, passing: list[Any], failing: list[Any]) -> None:
    assert [why(condition, x=value) for value in passing] == [None] * len(passing)
    for value in failing:
        failure = why(condition, x=value)
        assert failure is not None and failure.startswith("x ") and " is not " in failure


@pytest.mark.parametrize("condition", ["x>0", "x<0", "x>=0", "x<=0", "x==0", "x!=0", "x==a", "x!=a"])
@pytest.mark.parametrize("row", [{}, {"x": None}, {"x": NAN}, {"x": ""}, {"x": " \t"}, {"x": b""}])
def test_a_missing_value_never_passes(condition: str, row: dict[str, Any]) -> None:
    assert why(condition, **row) == "x is missing"


@pytest.mark.parametrize("condition", ["x>0", "x<0", "x!=0"])
@pytest.mark.parametrize("value", ["nan", "NaN", "-nan", Decimal("NaN"), Decimal("sNaN"), np.float64(NAN)])
def test_a_number_that_is_none_is_missing(condition: str, value: Any) -> None:
    assert why(condition, x=value) == "x is missing"


@pytest.mark.parametrize("condition", ["x>0", "x<0", "x!=0"])
@pytest.mark.parametrize(
    "value", ["abc", "1,5", "1_0", True, False, [1], {"a": 1}, datetime.date(2020, 1, 1), "9" * 9999]
)
def test_what_is_no_number_never_passes(condition: str, value: Any) -> None:
    assert why(condition, x=value) == "x is no number"


@pytest.mark.parametrize("condition", ["x==a", "x!=a", "x!='5'"])
@pytest.mark.parametrize("value", [5, 0.5, Decimal(5), ["a"], {"a": 1}])
def test_what_is_no_text_never_passes(condition: str, value: Any) -> None:
    assert why(condition, x=value) == "x is no text"


@pytest.mark.parametrize(
    ("condition", "row", "detail"),
    [
        ("similarity>0.3", {"similarity": 0.2811}, "similarity 0.2811 is not > 0.3"),
        ("similarity>0.3", {"similarity": "0.28110"}, "similarity 0.2811 is not > 0.3"),
        ("min_side>=200", {"original_width": 640.0, "original_height": "150"}, "min_side 150 is not >= 200"),
        ("max_side<=200", {"original_width": 640.0, "original_height": "150"}, "max_side 640 is not <= 200"),
        ("aspect_ratio<=3", {"original_width": 100, "original_height": 350}, "aspect_ratio 3.5 is not <= 3"),
        ("caption_words>2", {"text": "two words"}, "caption_words 2 is not > 2"),
        ("caption_chars>5", {"text": "héé日🙂"}, "caption_chars 5 is not > 5"),
        ("nsfw==UNLIKELY", {"nsfw": "NSFW"}, 'nsfw "NSFW" is not == "UNLIKELY"'),
        ("language==en", {"text": "Ein rotes Fahrrad an der Mauer"}, 'language "de" is not == "en"'),
        ("language!=en", {"text": "A red bicycle by the wall"}, 'language "en" is not != "en"'),
        ("column:language==en", {"language": "de"}, 'column:language "de" is not == "en"'),
        ("x==a", {"x": "two\n lines\x1b" + "x" * 10_000}, f'x "two lines {"x" * 50}…" is not == "a"'),
    ],
)
def test_the_detail_says_what_was_compared(condition: str, row: dict[str, Any], detail: str) -> None:
    assert why(condition, **row) == detail


@pytest.mark.parametrize("name", ["caption_words", "caption_chars"])
@pytest.mark.parametrize("caption", [None, "", "  ", NAN])
def test_a_blank_caption_is_missing(name: str, caption: Any) -> None:
    assert why(f"{name}>=0", text=caption) == f"{name} is missing"
    assert why("language!=en", text=caption) == "language is missing"


def test_a_captions_length_is_that_of_the_sources_text() -> None:
    # As DataComp counts: spaces around it belong to it.
    assert why("caption_chars>5", text=" abcd ") is None
    assert why("caption_chars>5", text="abcde") == "caption_chars 5 is not > 5"
    assert why("caption_words>2", text="a\u3000b\xa0c") is None


@pytest.mark.parametrize(
    ("width", "height"), [(None, 5), (5, None), (NAN, 5), (5, ""), ("wide", 5), (0, 5), (-3, 5), (0, 0), (INF, INF)]
)
def test_an_aspect_ratio_that_cannot_be_told_is_missing(width: Any, height: Any) -> None:
    row = {"original_width": width, "original_height": height}
    assert why("aspect_ratio>0", **row) == why("aspect_ratio<=3", **row) == "aspect_ratio is missing"


def test_a_source_without_these_columns() -> None:
    for name in ("caption_words", "caption_chars", "min_side", "max_side", "aspect_ratio"):
        assert Prefilter([f"{name}>=0"]).failure({"text": "a"}, Columns("url", None)) == f"{name} is missing"
    assert Prefilter(["language==en"]).failure({"text": "a"}, Columns("url", None)) == "language is missing"


def test_cheap_conditions_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("beam_recap.inputs.prefilter_rows.detect_language", lambda text: asked.append(text) or "en")
    given = Prefilter(prefilter("language==en,caption_words>2,x>1,y>1"))
    assert given.failure({"text": "one", "x": 0, "y": 0}, COLUMNS) == "x 0 is not > 1"
    assert given.failure({"text": "one", "x": 2, "y": 0}, COLUMNS) == "y 0 is not > 1"
    assert given.failure({"text": "one", "x": 2, "y": 2}, COLUMNS) == "caption_words 1 is not > 2"
    assert not asked
    assert given.failure({"text": "one two three", "x": 2, "y": 2}, COLUMNS) is None
    assert asked == ["one two three"]


# DataComp's rules (baselines/apply_filter.py, load_uids_with_basic_filter_helper), one row at a time.
def datacomps_basic(text: str, width: int, height: int, language: str) -> bool:
    caption_mask = len(text.split()) > 2 and len(text) > 5
    min_image_dim, max_image_dim = min(width, height), max(width, height)
    image_mask = min_image_dim >= 200 and max_image_dim / min_image_dim <= 3.0
    return language == "en" and caption_mask and image_mask


_WORDS = st.sampled_from(["a", "cat", "on", "the", "sofa", "eine", "Katze", "日本", "\n", "  ", "\xa0", "\u2009", "5"])
_SIDES = st.one_of(st.sampled_from([1, 199, 200, 201, 599, 600, 601, 603]), st.integers(1, 5000))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.lists(_WORDS, min_size=1, max_size=6).map(" ".join), _SIDES, _SIDES), min_size=1, max_size=20)
)
def test_basic_is_datacomps_basic_filter(rows: list[tuple[str, int, int]]) -> None:
    basic = Prefilter(prefilter("basic"))
    expected = [datacomps_basic(text, width, height, detect_language(text)) for text, width, height in rows]
    table = {"text": [row[0] for row in rows], "original_width": [row[1] for row in rows],
             "original_height": [row[2] for row in rows]}  # fmt: skip
    by_row = [basic.failure(dict(zip(table, row, strict=True)), COLUMNS) for row in rows]
    assert [failure is None for failure in by_row] == expected
    batch = pa.record_batch({**table, "text": pa.array(table["text"]).cast(pa.binary())})
    assert batch_failures(basic, batch, COLUMNS) == by_row


_VALUES = {
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.float16(): st.floats(width=16),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int8(): st.integers(-128, 127),
    pa.bool_(): st.booleans(),
    pa.binary(): st.one_of(st.binary(max_size=4), st.sampled_from([b"0.3", b" 2", b"abc", b"nan", b"-1e9", b"inf"])),
    pa.decimal128(10, 3): st.decimals(-1000, 1000, places=3),
    pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=2),
    pa.date32(): st.dates(),
}
_CONDITIONS = st.lists(
    st.sampled_from(
        [
            *("x>0.3", "x>=2", "x<0", "x<=-1", "x==2", "x!=0.3", "x==abc", "x!=abc", "x==true", "y>0.3", "y!=a"),
            *(
                "min_side>=2",
                "max_side<100",
                "aspect_ratio<=3",
                "aspect_ratio!=1",
                "caption_words>1",
                "caption_chars<=3",
            ),
        ]
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def _batches(draw: st.DrawFn) -> pa.RecordBatch:
    count = draw(st.integers(0, 6))
    arrays = {}
    for name in ("x", "y", "w", "h", "t"):
        kind = draw(st.sampled_from(list(_VALUES)))
        values = draw(st.lists(st.one_of(st.none(), _VALUES[kind]), min_size=count, max_size=count))
        arrays[name] = pa.array(values, kind)
    missing = draw(st.sets(st.sampled_from(list(arrays))))
    return pa.record_batch({name: array for name, array in arrays.items() if name not in missing} or {"z": arrays["x"]})


@settings(max_examples=300, deadline=None)
@given(_batches(), _CONDITIONS)
def test_batches_are_judged_as_their_rows(batch: pa.RecordBatch, conditions: list[str]) -> None:
    given_columns = {name: name for name in batch.schema.names}
    columns = Columns(
        "url", given_columns.get("t"), source_width=given_columns.get("w"), source_height=given_columns.get("h")
    )
    judged = Prefilter(conditions)
    assert batch_failures(judged, batch, columns) == [judged.failure(row, columns) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    "condition", ["aspect_ratio>0", "aspect_ratio<=3", "aspect_ratio!=1", "min_side<5", "max_side!=7"]
)
def test_batches_of_strange_sides_are_judged_as_their_rows(condition: str) -> None:
    strange = [0.0, -3.0, 5.0, 7.0, INF, -INF, NAN, None]
    pairs = [(width, height) for width in strange for height in strange]
    names = ("original_width", "original_height")
    batch = pa.record_batch(dict(zip(names, zip(*pairs, strict=True), strict=True)))
    expected = [why(condition, **dict(zip(names, pair, strict=True))) for pair in pairs]
    assert {failure is None for failure in expected} == {True, False}
    assert batch_failures(Prefilter([condition]), batch, COLUMNS) == expected


def test_a_float32_column_is_widened() -> None:
    # The nearest float32 to 0.3 is greater than the float64 of that name.
    batch = pa.record_batch({"x": pa.array([0.3], pa.float32())})
    assert batch_failures(Prefilter(["x>0.3"]), batch, COLUMNS) == [None]
    assert batch_failures(Prefilter(["x==0.3"]), batch, COLUMNS) == ["x 0.30000001192092896 is not == 0.3"]


def test_values_that_python_cannot_hold_cost_nothing() -> None:
    nanoseconds = pa.array([1, None], pa.int64()).cast(pa.timestamp("ns"))
    batch = pa.record_batch({"x": nanoseconds})
    assert batch_failures(Prefilter(["x>0"]), batch, COLUMNS) == ["x is no number", "x is missing"]
    assert batch_failures(Prefilter(["x!=a"]), batch, COLUMNS) == ["x is no text", "x is missing"]


def test_what_a_table_lacks_is_told_before_it_is_read() -> None:
    names = ["url", "text", "similarity"]
    columns = recognise_columns(names)
    assert Prefilter(["similarity>0", "caption_words>1", "language==en"]).missing_column(names, columns) is None
    assert Prefilter(["sim>0"]).missing_column(names, columns) == "there is no column sim"
    assert Prefilter(["min_side>0"]).missing_column(names, columns) == (
        "there are no columns of width and height, which min_side needs"
    )
    assert Prefilter(["language==en"]).missing_column(["url"], recognise_columns(["url"])) == (
        "there is no column of captions, which language needs (see --caption_column)"
    )


@pytest.mark.parametrize(
    ("condition", "kind", "problem"),
    [
        ("x>0", pa.timestamp("us"), "the column x is of type timestamp[us], which holds no numbers"),
        ("x>0", pa.bool_(), "the column x is of type bool, which holds no numbers"),
        ("x=='5'", pa.int64(), "the column x is of type int64, which holds no texts"),
        ("x>0", pa.string(), None),
        ("x>0", pa.decimal128(5, 2), None),
        ("x>0", pa.null(), None),
        ("x==a", pa.dictionary(pa.int8(), pa.string()), None),
        ("x==true", pa.bool_(), None),
        ("y==5", pa.bool_(), None),
    ],
)
def test_a_type_that_no_value_of_can_pass(condition: str, kind: pa.DataType, problem: str | None) -> None:
    assert schema_problem(Prefilter([condition]), pa.schema([("x", kind)])) == problem
