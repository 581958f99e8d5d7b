"""`Deduplicate` gives what the engine gives, in any order, and how its rows travel."""

from __future__ import annotations

import itertools
import pickle
import random

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from support.collected import run_and_collect
from support.duplicate_rows import brute_gone, row

from beam_recap.duplicates.engine import find_duplicates
from beam_recap.duplicates.rows import Decision, DuplicateRow, Place
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.records import Reason
from transforms.deduplicate import Deduplicate, _NearFn
from transforms.duplicate_coders import DecisionCoder, DuplicateRowCoder, JudgedRow, JudgedRowCoder

ALL = DuplicateSettings(rows=True, images=True, similarity=0.94, max_same_image=3, max_same_caption=3)
COUNTERS = {
    Reason.PLACEHOLDER_IMAGE: "placeholder_images",
    Reason.SPAM_CAPTION: "spam_captions",
    Reason.DUPLICATE_ROW: "duplicate_rows",
    Reason.DUPLICATE_IMAGE: "duplicate_images",
    Reason.NEAR_DUPLICATE_IMAGE: "near_duplicate_images",
}


def made_rows(count: int, seed: int = 0) -> list[DuplicateRow]:
    """Rows of every kind; some lack what a rule needs."""
    chance = random.Random(seed)
    numbers = np.random.default_rng(seed)
    pictures = numbers.standard_normal((count, 12))
    rows = []
    for index in range(count):
        picture = chance.randrange(count) if chance.random() < 0.5 else index
        vector = pictures[picture] + numbers.standard_normal(12) * 0.1
        fields = {
            "image": chance.choice([f"i{picture}", f"i{index}"]) if chance.random() < 0.9 else "placeholder",
            "source": f"s{chance.randrange(count)}",
            "caption": f"c{chance.randrange(count)}" if chance.random() < 0.9 else "buy now",
            "vector": vector / np.linalg.norm(vector),
            "similarity": chance.choice([0.1, 0.2]),
            "aesthetic": chance.choice([5.0, 6.0]),
            "cluster": chance.choice([0, 1]),
        }
        kept = {name: value for name, value in fields.items() if chance.random() < 0.9}
        rows.append(row(index % 10, unit=f"shard{index // 10}", uid=f"{index}", **kept))
    return rows


@pytest.mark.parametrize(
    "chosen",
    [
        ALL,
        DuplicateSettings(similarity=0.94),
        DuplicateSettings(rows=True, images=True),
        DuplicateSettings(max_same_image=2, max_same_caption=2),
        DuplicateSettings(images=True, similarity=0.9, max_same_caption=2),
        DuplicateSettings(),
    ],
)
def test_what_goes_is_what_the_engine_finds(chosen: DuplicateSettings) -> None:
    rows = made_rows(150)
    expected = find_duplicates(rows, chosen)
    assert {one.place: one.reason for one in expected} == brute_gone(rows, chosen)
    if chosen is ALL:
        assert {one.reason for one in expected} == set(COUNTERS)
    chance = random.Random(2)
    for turn in range(3):
        found = run_and_collect(rows, Deduplicate(chosen))
        assert sorted(found, key=lambda one: one[1].place) == [(one.place.unit, one) for one in expected], turn
        rows += chance.choices(rows, k=20)  # the same rows come again
        chance.shuffle(rows)


def test_a_row_that_is_gone_hides_nothing_whichever_comes_first() -> None:
    """Row 0 would be the one to keep, but went before; so 1 stays, and 2 goes for it."""
    full = [JudgedRow(row(index, vector=[1, 0], similarity=-index)) for index in range(3)]
    gone = JudgedRow(row(0), Decision(full[0].row.place, Reason.SPAM_CAPTION, "why"))
    for members in ([gone, *full], [*full, gone]):
        ((unit, decision),) = _NearFn(0.94).process(("None", members))
        assert (unit, decision.place.index) == ("u", 2)
        assert decision.detail == "cosine 1.0000 to uid1, row 1 of u"


def test_no_rows_are_no_decisions() -> None:
    assert run_and_collect([], Deduplicate(ALL)) == []


def test_decisions_come_unit_by_unit_in_order() -> None:
    found = run_and_collect(made_rows(150), Deduplicate(ALL))
    units = [unit for unit, _ in found]
    assert sum(one != other for one, other in itertools.pairwise(units)) == len(set(units)) - 1
    for unit in set(units):
        indexes = [decision.place.index for name, decision in found if name == unit]
        assert indexes == sorted(set(indexes))


def labels(chosen: DuplicateSettings) -> set[str]:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    pipeline | beam.Create([row(0)]) | Deduplicate(chosen)
    proto = pipeline.to_runner_api()
    names = {one.unique_name for one in proto.components.transforms.values()}
    return {name.split("/")[1] for name in names if name.startswith("Deduplicate/")}


def test_rules_that_are_off_are_no_steps() -> None:
    always = {"Slim", "Found", "GroupUnit", "OncePerRow"}
    assert labels(DuplicateSettings()) == always
    assert labels(DuplicateSettings(rows=True)) == always | {"DuplicateRow"}
    assert labels(DuplicateSettings(max_same_image=1)) == always | {"PlaceholderImage"}
    near = {"WithEmbedding", "GroupCluster", "NearDuplicateImage", "FoundAll"}
    assert labels(DuplicateSettings(similarity=0.94)) == always | near
    rules = {"PlaceholderImage", "SpamCaption", "DuplicateRow", "DuplicateImage"}
    assert labels(ALL) == always | near | rules | {"Gone", "WithoutGone"}


def test_counters_tell_what_went() -> None:
    rows = made_rows(150)
    pipeline = beam.Pipeline(runner=FnApiRunner())
    pipeline | beam.Create([*rows, *rows[:9]]) | Deduplicate(ALL)
    result = pipeline.run()
    result.wait_until_finish()
    metrics = result.metrics().query(MetricsFilter().with_namespace("Deduplicate"))
    counters = {one.key.metric.name: one.committed for one in metrics["counters"]}
    gone = list(brute_gone(rows, ALL).values())
    assert counters == {name: gone.count(reason) for reason, name in COUNTERS.items()} | {"rows": 159}
    (cluster_rows,) = metrics["distributions"]
    assert cluster_rows.key.metric.name == "cluster_rows" and 1 <= cluster_rows.committed.max < 150


FULL = row(7, image="i", source="s", caption="c", vector=[1, 0], similarity=0.3, aesthetic=5.5, cluster=4)
DECISION = Decision(FULL.place, Reason.SPAM_CAPTION, "why")


@pytest.mark.parametrize(
    ("value", "coder"),
    [
        (FULL, DuplicateRowCoder),
        (row(0), DuplicateRowCoder),
        (DECISION, DecisionCoder),
        (JudgedRow(FULL), JudgedRowCoder),
        (JudgedRow(FULL, DECISION), JudgedRowCoder),
    ],
)
def test_values_survive_their_registered_coders(value: object, coder: type) -> None:
    registered = beam.coders.registry.get_coder(type(value))
    assert isinstance(registered, coder) and not registered.is_deterministic()
    encoded = registered.encode(value)
    back = registered.decode(encoded)
    assert back == value and type(back) is type(value)
    assert b"beam_recap" not in encoded and isinstance(pickle.loads(encoded), tuple)


def test_decoded_parts_have_their_own_types() -> None:
    back = JudgedRowCoder().decode(JudgedRowCoder().encode(JudgedRow(FULL, DECISION)))
    assert type(back.row.place) is Place and type(back.decision.reason) is Reason
    assert type(back.decision.place) is Place
