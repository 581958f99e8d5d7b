"""All rules together, compared with brute force; what goes depends on the set of rows alone."""

from __future__ import annotations

import math
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.duplicate_rows import brute_gone, row

from beam_recap.duplicates.engine import find_duplicates
from beam_recap.duplicates.rows import DuplicateRow
from beam_recap.duplicates.rules import rules_of
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.records import Reason

ALL = DuplicateSettings(rows=True, images=True, similarity=0.94, max_same_image=2, max_same_caption=2)


def found(given_rows: list[DuplicateRow], /, **settings_) -> list[tuple[int, Reason, str]]:
    decisions = find_duplicates(given_rows, DuplicateSettings(**settings_))
    return [(one.place.index, one.reason, one.detail) for one in decisions]


def test_nothing_is_found_where_nothing_is_looked_for() -> None:
    rows = [row(index, image="i", source="s", caption="c", vector=[1, 0]) for index in range(5)]
    assert found(rows) == []


def test_equal_rows_and_images_name_the_one_that_stays() -> None:
    rows = [row(0, image="i", source="s"), row(1, image="i", source="s", similarity=0.3), row(2, image="i", source="t")]
    same_row = (0, Reason.DUPLICATE_ROW, "the same URL and caption as uid1, row 1 of u")
    assert found(rows, rows=True) == [same_row]
    same_image = "the same image bytes as uid1, row 1 of u"
    assert found(rows, images=True) == [(index, Reason.DUPLICATE_IMAGE, same_image) for index in (0, 2)]
    assert found(rows, rows=True, images=True) == [same_row, (2, Reason.DUPLICATE_IMAGE, same_image)]


def test_placeholders_go_with_all_their_rows() -> None:
    rows = [row(index, image="i", caption=caption) for index, caption in enumerate("aabc")]
    rows += [row(4, image="i"), row(5, image="other", caption="a"), row(6)]
    detail = "the same image bytes under more than 2 different captions, first of all uid0, row 0 of u"
    assert found(rows, max_same_image=2) == [(index, Reason.PLACEHOLDER_IMAGE, detail) for index in range(5)]
    assert found(rows, max_same_image=3) == []


def test_spam_goes_with_all_its_rows() -> None:
    rows = [row(index, image=image, caption="c") for index, image in enumerate("aabc")]
    rows += [row(4, caption="c"), row(5, image="a", caption="other"), row(6, image="d"), row(7, image="e")]
    detail = "the same caption over more than 2 different images, first of all uid0, row 0 of u"
    assert found(rows, max_same_caption=2) == [(index, Reason.SPAM_CAPTION, detail) for index in range(5)]
    assert found(rows, max_same_caption=3) == []


def test_placeholders_do_not_hide_spam() -> None:
    """Image x stands under captions a, b, c; caption a over images x, y, z. Without x's rows a would be no spam."""
    rows = [row(0, image="x", caption="a"), row(1, image="x", caption="b"), row(2, image="x", caption="c")]
    rows += [row(3, image="y", caption="a"), row(4, image="z", caption="a")]
    placeholders, spam = [0, 1, 2], [3, 4]
    reasons = {index: reason for index, reason, _ in found(rows, max_same_image=2, max_same_caption=2)}
    assert reasons == dict.fromkeys(placeholders, Reason.PLACEHOLDER_IMAGE) | dict.fromkeys(spam, Reason.SPAM_CAPTION)


def test_what_lacks_a_digest_takes_no_part() -> None:
    rows = [row(index) for index in range(4)]
    assert found(rows, rows=True, images=True, similarity=0.5, max_same_image=1, max_same_caption=1) == []


def test_later_rules_see_what_is_left() -> None:
    """Row 0 is the best, but goes as spam; then 1 is the best of the image, and nothing is left to be near it."""
    rows = [row(0, image="i", caption="spam", similarity=0.9, vector=[1, 0])]
    rows += [row(1, image="i", caption="x", similarity=0.5, vector=[1, 0])]
    rows += [row(2, image="i", caption="y", similarity=0.4, vector=[1, 0])]
    rows += [row(index, image=f"j{index}", caption="spam", vector=[0, 1]) for index in (3, 4)]
    reasons = [reason for _, reason, _ in found(rows, images=True, similarity=0.94, max_same_caption=2)]
    assert reasons == [Reason.SPAM_CAPTION, Reason.DUPLICATE_IMAGE, Reason.SPAM_CAPTION, Reason.SPAM_CAPTION]


def test_near_duplicates_are_looked_for_inside_clusters() -> None:
    rows = [row(index, vector=[1, 0], cluster=cluster) for index, cluster in enumerate([0, 1, 0, None, None, 1, 2])]
    assert [index for index, _, _ in found(rows, similarity=0.94)] == [2, 4, 5]


@st.composite
def any_rows(draw: st.DrawFn) -> list[DuplicateRow]:
    few = {name: st.sampled_from([None, "1", "2", "3"]) for name in ("image", "source", "caption")}
    fields = st.fixed_dictionaries(
        few
        | {
            "vector": st.sampled_from([None, *([math.cos(a), math.sin(a)] for a in (0, 0.3, 0.6, 1.5, 1.7))]),
            "similarity": st.sampled_from([None, 0.1, 0.2]),
            "aesthetic": st.sampled_from([None, 5.0, 6.0]),
            "cluster": st.sampled_from([None, 0, 1]),
            "uid": st.sampled_from(["a", "b"]),
            "unit": st.sampled_from(["u", "v"]),
        }
    )
    drawn = draw(st.lists(fields, max_size=14))
    return [row(i, **{name: one for name, one in x.items() if one is not None}) for i, x in enumerate(drawn)]


SETTINGS = st.builds(
    DuplicateSettings,
    rows=st.booleans(),
    images=st.booleans(),
    similarity=st.sampled_from([None, 0.94]),
    max_same_image=st.sampled_from([None, 1, 2]),
    max_same_caption=st.sampled_from([None, 1, 2]),
)


@settings(deadline=None, max_examples=300)
@given(any_rows(), SETTINGS, st.randoms(use_true_random=False))
def test_any_rows_in_any_order(rows: list[DuplicateRow], chosen: DuplicateSettings, chance: random.Random) -> None:
    decisions = find_duplicates(rows, chosen)
    assert {one.place: one.reason for one in decisions} == brute_gone(rows, chosen)
    assert [one.place for one in decisions] == sorted(one.place for one in decisions)
    again = rows + chance.choices(rows, k=4) if rows else []
    chance.shuffle(again)
    assert find_duplicates(iter(again), chosen) == decisions


@pytest.mark.parametrize("chosen", [DuplicateSettings(), ALL])
def test_rules_come_in_their_order_and_travel(chosen: DuplicateSettings) -> None:
    order = [Reason.PLACEHOLDER_IMAGE, Reason.SPAM_CAPTION, Reason.DUPLICATE_ROW, Reason.DUPLICATE_IMAGE]
    rules = pickle.loads(pickle.dumps(rules_of(chosen)))
    assert [rule.reason for rule in rules] == (order if chosen is ALL else [])


def test_a_group_is_iterated_and_not_held() -> None:
    """A hundred thousand rows of one placeholder: only as many captions are held as it takes to tell."""

    class Group:
        def __iter__(self):
            yield from (row(index, image="i", caption=f"{index}") for index in range(100_000))

    (rule,) = rules_of(DuplicateSettings(max_same_image=10))
    verdict = rule.judge(Group())
    assert sum(verdict(one) is not None for one in Group()) == 100_000
