from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.costs import FilterCost, cheapest_order, expected_seconds, total_seconds, with_cost
from beam_recap.records import Reason, Rejection, Sample, Stage

ROW = Sample(unit="u", index=0, uid="x", key="k")


def test_costs_add_up() -> None:
    row = with_cost(with_cost(with_cost(ROW, Stage.CLIP, 0.5), Stage.OCR, 0.0), Stage.CLIP, 0.25)
    assert isinstance(row, Sample)
    assert row.seconds == (None, 0.75, None, 0.0, None)
    rejected = with_cost(row.reject(Stage.OCR, Reason.HAS_TEXT), Stage.OCR, 2.0)
    assert isinstance(rejected, Rejection)
    assert total_seconds([row, rejected, ROW]) == {"clip": 1.5, "ocr": 2.0}


def test_what_is_expected_of_an_order() -> None:
    costs = {"clip": FilterCost(0.010, 0.5), "aesthetic": FilterCost(0.001, 0.2), "ocr": FilterCost(0.1, 0.9)}
    assert expected_seconds(("clip", "aesthetic", "ocr"), costs) == pytest.approx(0.010 + 0.0005 + 0.5 * 0.2 * 0.1)
    assert expected_seconds(("ocr", "clip", "aesthetic"), costs) == pytest.approx(0.1 + 0.9 * 0.0105)
    assert cheapest_order(costs, {"aesthetic": "clip"}) == ("clip", "aesthetic", "ocr")
    assert cheapest_order(costs, {}) == ("aesthetic", "clip", "ocr")
    assert cheapest_order({}, {"aesthetic": "clip"}) == ()
    # A filter that drops nothing comes last, however cheap it is.
    assert cheapest_order({"clip": FilterCost(0.01, 1.0), "ocr": FilterCost(0.1, 0.5)}, {}) == ("ocr", "clip")


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.builds(FilterCost, st.floats(0, 10), st.floats(0, 1)),
        min_size=1,
    )
)
def test_no_order_is_cheaper(costs: dict[str, FilterCost]) -> None:
    best = expected_seconds(cheapest_order(costs, {}), costs)
    assert all(best <= expected_seconds(order, costs) for order in itertools.permutations(costs))
