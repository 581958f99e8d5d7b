from __future__ import annotations

import dataclasses
import random

from beam_recap.examples import ChosenExamples, Examples, Lowest, rank_of
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage


def sample(number: int, **values: object) -> Sample:
    facts = {"unit": "u", "index": number, "uid": f"row {number}", "key": str(number), "thumbnail": b"\xff\xd8"}
    return Sample(**{**facts, **values})


def chosen(outcomes: list[Outcome], *captions: str) -> ChosenExamples:
    examples = Examples()
    for outcome in outcomes:
        examples.offer(outcome)
    return examples.chosen(captions)


def by_hash(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=rank_of)


def test_the_lowest_of_any_order() -> None:
    rng = random.Random(2)
    for _ in range(50):
        keys = [rng.randrange(40) for _ in range(rng.randrange(60))]
        lowest: Lowest[int] = Lowest(7)
        for key in keys:
            taken = lowest.takes(key)
            lowest.put(key, -key)
            assert taken == (-key in lowest)
        assert list(lowest) == [-key for key in sorted(set(keys))[:7]]


def test_kept_rows_are_chosen_by_hash_whatever_their_order() -> None:
    rows = [sample(number) for number in range(500)]
    found = chosen(rows)
    assert list(found.kept) == by_hash(rows)[:60]
    assert found == chosen(rows[::-1])
    # Rows that leave make room for others, and change nothing else.
    assert chosen([row for row in rows if row != found.kept[0]]).kept[:59] == found.kept[1:]
    assert list(chosen(rows[:10]).kept) == by_hash(rows[:10])


def test_equal_ids_are_told_apart_by_their_place() -> None:
    rows = [sample(number, uid="same", unit=f"u{number % 3}") for number in range(90)]
    found = chosen(random.Random(1).sample(rows, 90))
    assert list(found.kept) == sorted(rows, key=lambda row: (row.unit, row.index))[:60]


def test_every_reason_has_its_rows() -> None:
    reasons = [(Stage.FETCH, reason) for reason in list(Reason)[:20]] + [(Stage.CAPTION, Reason.MODEL_ERROR)]
    outcomes: list[Outcome] = [
        sample(number, unit=str(reason)).reject(stage, reason)
        for stage, reason in reasons
        for number in range(30 if reason != Reason.MODEL_ERROR else 2)
    ]
    found = chosen(outcomes).rejected
    assert len(found) == 64
    shown: dict[Reason, list[Rejection]] = {}
    for rejection in found:
        shown.setdefault(rejection.reason, []).append(rejection)
    assert {len(same) for same in shown.values()} == {2, 3, 4} and len(shown) == 21
    for reason, same in shown.items():
        lowest = by_hash([outcome.sample for outcome in outcomes if outcome.reason == reason])
        assert [rejection.sample for rejection in same] == lowest[: len(same)]
    assert list(found) == sorted(found, key=lambda rejection: rank_of(rejection.sample))


def test_at_most_eight_of_a_reason() -> None:
    found = chosen([sample(number).reject(Stage.FETCH, Reason.DNS) for number in range(100)]).rejected
    assert len(found) == 8


def test_rejections_of_filters_of_other_projects() -> None:
    found = chosen([sample(1).reject("watermark", "has_watermark"), sample(2).reject("watermark", "no_reply")]).rejected
    assert {rejection.reason for rejection in found} == {"has_watermark", "no_reply"}


def test_the_worst_rows() -> None:
    scores = [0.3, None, 0.1, 0.1, 0.2]
    rows = [sample(n, clip_score=scores[n % 5], recaption_truncated=n % 4 == 0 if n % 3 else None) for n in range(60)]
    found = chosen(rows)
    scored = [row for row in rows if row.clip_score is not None]
    assert list(found.lowest_similarity) == sorted(scored, key=lambda row: (row.clip_score, rank_of(row)))[:12]
    assert list(found.truncated) == by_hash([row for row in rows if row.recaption_truncated])[:12]
    assert len(found.truncated) == 10
    gone = chosen([row.reject(Stage.CURATE, Reason.DUPLICATE_IMAGE) for row in rows])
    assert gone.lowest_similarity == gone.truncated == gone.kept == ()


def test_one_row_for_each_repeated_caption_that_has_a_picture() -> None:
    rows = [sample(n, recaption=f"caption {n % 10}", thumbnail=b"x" if n % 10 else None) for n in range(100)]
    found = chosen(rows, *(f"caption {number}" for number in (3, 0, 99, 5, 1, 2, 4))).repeated
    assert [row.recaption for row in found] == ["caption 3", "caption 5", "caption 1", "caption 2"]
    for row in found:
        assert row == by_hash([other for other in rows if other.recaption == row.recaption])[0]


def test_rows_are_bounded_and_carry_nothing_that_differs_from_run_to_run() -> None:
    heavy = sample(
        1, embedding=b"e", exif="{}", picture="a:0:1", seconds=(1.0,) * 5, recaption="r" * 10**6, caption="c" * 10**6
    )
    (found,) = chosen([heavy]).kept
    assert (found.embedding, found.exif, found.picture, found.seconds) == (None,) * 4
    assert len(found.recaption) == len(found.caption) == 10_000
    assert dataclasses.replace(found, recaption=None, caption=None) == sample(1)
    (rejected,) = chosen([heavy.reject(Stage.CLIP, Reason.NON_FINITE)]).rejected
    assert len(rejected.sample.recaption) == 10_000 and rejected.sample.seconds is None
