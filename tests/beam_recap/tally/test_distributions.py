from __future__ import annotations

import json
import math
import random
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.merging import merge_all, split

from beam_recap.records import Sample
from beam_recap.tally.distributions import MEASURES, Distributions, Histogram

VALUES = st.lists(st.none() | st.floats(-3, 3, width=32) | st.sampled_from([-1.0, 0.0, 0.02, 0.3, 1.0, math.nan]))
COSINES = MEASURES[0].edges


def histogram(values: list[float | None]) -> Histogram:
    made = Histogram(COSINES)
    made.add(values)
    return made


@given(VALUES, st.randoms(use_true_random=False))
def test_bins_and_mean_are_exact_however_they_are_added_up(values: list[float | None], rng: random.Random) -> None:
    merged = merge_all([histogram(part) for part in split(values, rng)], lambda: Histogram(COSINES), rng)
    known = [value for value in values if value is not None and math.isfinite(value)]
    counts = [0] * 100
    for value in known:
        counts[min(max(bisect_right(COSINES, value) - 1, 0), 99)] += 1
    summary = merged.summary()
    assert summary["counts"] == counts
    assert (summary["rows"], summary["missing"]) == (len(known), len(values) - len(known))
    assert summary == histogram(values).summary()
    if known:
        assert summary["mean"] == pytest.approx(math.fsum(known) / len(known), abs=2e-6)
    else:
        assert summary["mean"] is None


def test_edges() -> None:
    edges = {measure.name: measure.edges for measure in MEASURES}
    assert list(edges) == [
        "similarity",
        "recaption_similarity",
        "aesthetic",
        "caption_words",
        "recaption_words",
        "ocr_boxes",
    ]
    assert edges["similarity"] == edges["recaption_similarity"]
    assert edges["similarity"][:3] == (-1, -0.98, -0.96) and edges["similarity"][-2:] == (0.98, 1)
    assert 0.3 in edges["similarity"] and len(edges["similarity"]) == 101
    assert edges["aesthetic"][:2] == (0, 0.25) and edges["aesthetic"][-1] == 11 and len(edges["aesthetic"]) == 45
    assert edges["caption_words"] == edges["recaption_words"] == tuple(range(202))
    assert edges["ocr_boxes"] == tuple(range(52))
    assert all(list(each) == sorted(set(each)) for each in edges.values())


@pytest.mark.parametrize(("value", "place"), [(-2.0, 0), (-1.0, 0), (0.3, 65), (0.2999, 64), (1.0, 99), (1.5, 99)])
def test_a_value_at_an_edge_is_in_the_bin_above(value: float, place: int) -> None:
    assert histogram([value]).counts.tolist().index(1) == place


@pytest.mark.parametrize("value", [1e300, -1e300, math.inf, math.nan])
def test_values_that_no_model_gives_break_nothing(value: float) -> None:
    summary = histogram([value, 0.5]).summary()
    assert summary["rows"] + summary["missing"] == 2
    assert math.isfinite(summary["mean"])


def test_each_side_has_its_own_numbers() -> None:
    row = Sample(
        unit="u",
        index=0,
        uid="x",
        key="k",
        caption="two words",
        recaption="w " * 250,
        clip_score=0.31,
        recaption_clip_score=-0.1,
        aesthetic_score=5.3,
        ocr_boxes=3,
    )
    bare = Sample(unit="u", index=1, uid="y", key="k")
    found = Distributions()
    found.add("kept", [row, row, bare])
    found.add("rejected", [bare])
    summary = found.summary()
    expected = {
        "similarity": (65, 0.31),
        "recaption_similarity": (45, -0.1),
        "aesthetic": (21, 5.3),
        "caption_words": (2, 2),
        "recaption_words": (200, 250),
        "ocr_boxes": (3, 3),
    }
    for name, (place, mean) in expected.items():
        kept, rejected = summary[name]["kept"], summary[name]["rejected"]
        assert len(kept["counts"]) == len(summary[name]["edges"]) - 1
        assert (kept["counts"][place], kept["rows"], kept["missing"], kept["mean"]) == (2, 2, 1, mean)
        assert (sum(rejected["counts"]), rejected["rows"], rejected["missing"], rejected["mean"]) == (0, 0, 1, None)
    assert json.loads(json.dumps(summary)) == summary
    back = Distributions.of_json(json.loads(json.dumps(found.as_json())))
    assert back.summary() == summary
