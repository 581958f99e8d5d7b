"""What changed in columns, and the rows that show it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.compared_runs import column, compare, row, write_run, write_table


def test_numbers_null_nan_and_zero(tmp_path: Path) -> None:
    nan, huge = float("nan"), 2**53
    scores = [(0.0, 0.0), (0.0, -0.0), (None, 0.0), (0.0, None), (None, None), (nan, nan), (nan, 0.0), (nan, None),
              (float("inf"), 1.0), (0.25, 0.5), (1.0, 0.5), (1e308, -1e308)]  # fmt: skip
    a, b = (
        write_run(
            tmp_path / name,
            [
                row(number, clip_score=pair[side], recaption_rating=huge + side if number == 0 else 3)
                for number, pair in enumerate(scores)
            ],
        )
        for side, name in enumerate("ab")
    )
    found = compare(a, b)
    score = column(found, "org_clip_score")
    assert {name: score[name] for name in ("rows", "equal", "changed", "null_to_value", "value_to_null")} == {
        "rows": 12,
        "equal": 4,
        "changed": 5,
        "null_to_value": 1,
        "value_to_null": 2,
    }
    assert score["not_finite"] == 4  # two NaN, one infinite, and a difference that no number holds
    assert score["mean_difference"] == pytest.approx((0 + 0 + 0.25 - 0.5) / 4)
    assert score["largest_absolute_difference"] == 0.5
    assert score["absolute_difference_95"] == pytest.approx(0.25 + 0.25 * 0.85)
    rating = column(found, "re_gpt4v_score")
    assert (rating["changed"], rating["largest_absolute_difference"]) == (1, 1.0)  # beyond what a float tells apart
    values = {(one["a"], one["b"]) for one in compare(a, b, "--rows=20")["examples"]["columns"][0]["rows"]}
    assert {("nan", 0.0), ("inf", 1.0), (None, 0.0), (0.0, None)} <= values
    json.dumps(found, allow_nan=False)

    close = column(compare(a, b, "--tolerance=0.25"), "org_clip_score")
    assert (close["equal"], close["changed"], close["null_to_value"]) == (5, 4, 1)
    assert column(compare(a, b, "--tolerance=1"), "re_gpt4v_score")["equal"] == 12


def test_texts(tmp_path: Path) -> None:
    captions = [("a cat", "a cat"), ("a cat", "a dog!"), (None, ""), ("", None), ("", "x")]
    a, b = (
        write_run(tmp_path / name, [row(number, recaption=pair[side]) for number, pair in enumerate(captions)])
        for side, name in enumerate("ab")
    )
    text = column(compare(a, b), "re_caption")
    assert (text["equal"], text["changed"], text["null_to_value"], text["value_to_null"]) == (1, 2, 1, 1)
    assert (text["mean_length_a"], text["mean_length_b"]) == (2.5, 3.0)
    assert text["changed_share"] == 0.8


def test_examples_repeat_and_are_few(tmp_path: Path) -> None:
    outcomes = [[row(number, recaption=f"{side} {number}") for number in range(40)] for side in "ab"]
    a = write_run(tmp_path / "a", outcomes[0], files=3)
    b = write_run(tmp_path / "b", outcomes[1], files=1)
    first = compare(a, b, "--rows=4")["examples"]["columns"]
    again = compare(write_run(tmp_path / "c", outcomes[0][::-1]), b, "--rows=4")["examples"]["columns"]
    assert [one["name"] for one in first] == ["re_caption"]
    assert len(first[0]["rows"]) == 4
    assert first == again
    keys = {one["key"] for one in first[0]["rows"]}
    assert keys != {f"{number:09d}" for number in range(4)}  # not simply the first ones
    assert all(one["a"] == f"a {int(one['key'])}" and one["b"] == f"b {int(one['key'])}" for one in first[0]["rows"])
    assert compare(a, b, "--rows=0")["examples"] == {"outcomes": [], "columns": []}


def test_other_schemas(tmp_path: Path) -> None:
    outcomes = [row(number) for number in range(3)]
    a = write_run(tmp_path / "a", outcomes, schema="recap")
    b = write_run(tmp_path / "b", outcomes, schema="text-debiased", extra_columns=True)
    found = compare(a, b)
    assert found["rows"]["kept_in_both"] == 3
    assert column(found, "org_caption / TEXT")["equal"] == column(found, "org_clip_score / similarity")["equal"] == 3
    assert "re_length" in found["columns_only_in_a"] and "kmeans" in found["columns_only_in_b"]
    assert found["differ"]


def test_columns_of_other_types_and_hostile_names(tmp_path: Path) -> None:
    """Whatever a table of strangers calls its columns, and whatever they hold."""
    for side, values in (("a", [1, 2]), ("b", ["1", "3"])):
        write_run(tmp_path / side, [row(0), row(1)])
        path = tmp_path / side / "data/train-00000-of-00001.parquet"
        table = pq.read_table(path)
        for name in ('x"; DROP TABLE matched; --', "select"):
            table = table.append_column(name, pa.array(values))
        table = table.append_column("boxes", pa.array([[[1.0]], [[2.0 + (side == "b")]]]))
        table = table.append_column("URL", pa.array(["other", "other"]))
        write_table(path, table)
    found = compare(tmp_path / "a", tmp_path / "b")
    hostile = column(found, 'x"; DROP TABLE matched; --')
    assert (hostile["kind"], hostile["type_a"], hostile["type_b"]) == ("other", "BIGINT", "VARCHAR")
    assert (hostile["equal"], hostile["changed"]) == (1, 1)
    assert column(found, "boxes")["changed"] == column(found, "select")["changed"] == 1
    assert found["notes"] == [
        f"{side} has columns whose names differ from others in case only; they are left out: URL." for side in "AB"
    ]
    assert column(found, "url")["equal"] == 2
