from __future__ import annotations

import json
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.merging import merge_all, split

from beam_recap import checkpoint
from beam_recap.records import Outcome, Reason, Sample, Stage
from beam_recap.tally import row_tally
from beam_recap.tally.row_tally import FLAGS, RowTally

WORDS = ("red", "dog", "the", "house", "don't", "a", "blue", "2")


def captions() -> st.SearchStrategy[str | None]:
    return st.none() | st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)


@st.composite
def rows(draw: st.DrawFn) -> list[Outcome]:
    found: list[Outcome] = []
    for index in range(draw(st.integers(0, 16))):
        sample = Sample(
            unit=f"u{draw(st.integers(0, 2))}",
            index=index,
            uid=draw(st.sampled_from("abcdefgh")),  # not unique: places decide
            key="k",
            caption=draw(captions()),
            recaption=draw(captions()),
            clip_score=draw(st.none() | st.sampled_from([0.1, 0.2, 0.3])),
            recaption_truncated=draw(st.sampled_from([None, False, True])),
            recaption_hinted=draw(st.sampled_from([None, True])),
            recaption_flags=draw(st.sampled_from([None, (), ("repetition", "truncated"), ("refusal",)])),
            thumbnail=draw(st.sampled_from([None, b"\xff\xd8"])),
            ocr_boxes=draw(st.none() | st.integers(0, 60)),
        )
        stage, reason = draw(
            st.sampled_from([(None, None), (Stage.CLIP, Reason.LOW_CLIP_SCORE), (Stage.FETCH, Reason.DNS)])
        )
        found.append(sample if stage is None else sample.reject(stage, reason))
    return found


def tally_of(outcomes: list[Outcome]) -> RowTally:
    made = RowTally()
    made.add(outcomes)
    return made


@settings(max_examples=30, deadline=None)
@given(rows(), st.randoms(use_true_random=False))
def test_any_split_and_any_merge_give_the_same(outcomes: list[Outcome], rng: random.Random) -> None:
    whole = tally_of(outcomes)
    parts = [tally_of(part) for part in split(outcomes, rng)]
    for place, part in enumerate(parts):
        if rng.random() < 0.5:  # as a slice's report, or on its way between workers
            examples = checkpoint.unpack(checkpoint.pack(part.example_rows()))
            parts[place] = RowTally.of_json(json.loads(json.dumps(part.as_json())), examples)
        else:
            parts[place] = pickle.loads(pickle.dumps(part))
    merged = merge_all(parts, RowTally, rng)
    assert merged.rows == whole.rows == len(outcomes)
    assert merged.summary() == whole.summary()
    assert merged.examples() == whole.examples()


def test_merging_leaves_the_other_as_it_is() -> None:
    first, second = (tally_of([sample(index, caption=f"dog {index}")]) for index in (1, 2))
    before = second.summary(), second.examples()
    first.merge(second)
    first.add([sample(3, caption="dog 3")])
    first.merge(first_of_its_own := tally_of([sample(4, caption="dog 4")]))
    assert (second.summary(), second.examples()) == before
    assert first_of_its_own.rows == 1 and first.rows == 4


def sample(index: int, **values: object) -> Sample:
    return Sample(**{"unit": "u", "index": index, "uid": str(index), "key": str(index), **values})


def test_what_is_counted_of_kept_rows() -> None:
    kept = [
        sample(0, caption="A red dog", recaption="Nice.", recaption_truncated=True, recaption_flags=("truncated",)),
        sample(1, caption="A red cat", recaption="Nice.", recaption_flags=("repetition", "unseen_quotes")),
        sample(2, caption="A red cat", recaption="x" * 400, recaption_truncated=False, recaption_hinted=True),
        sample(3, caption="", recaption="x" * 400 + "y", recaption_hinted=False),
        sample(4),
    ]
    gone = sample(5, caption="A red cat", recaption="Nice.", recaption_truncated=True)
    summary = tally_of([*kept, gone.reject(Stage.CURATE, Reason.DUPLICATE_ROW)]).summary()
    assert summary["words"]["original"] == [
        {"word": "red", "captions": 3},
        {"word": "cat", "captions": 2},
        {"word": "dog", "captions": 1},
    ]
    assert summary["words"]["new"] == [{"word": "nice", "captions": 2}]
    assert summary["words"]["undercount"] == {"original": 0, "new": 0}
    assert summary["repeated_captions"] == {
        "original": [{"caption": "A red cat", "rows": 2}],
        "new": [{"caption": "Nice.", "rows": 2}],
        "undercount": {"original": 0, "new": 0},
    }
    assert summary["flags"] == {
        "truncated": 1,
        "repetition": 1,
        "refusal": 0,
        "prompt_echo": 0,
        "unseen_quotes": 1,
        "hinted": 1,
    }
    assert tuple(summary["flags"]) == FLAGS
    assert summary["distributions"]["caption_words"]["rejected"]["rows"] == 1


def test_nothing_is_a_summary_too() -> None:
    summary = RowTally().summary()
    assert summary["words"]["original"] == summary["repeated_captions"]["new"] == []
    assert set(summary["flags"].values()) == {0}


def test_its_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of which no two share a word, a caption or a score."""
    monkeypatch.setattr(row_tally, "WORDS_CAPACITY", 1000)
    monkeypatch.setattr(row_tally, "CAPTIONS_CAPACITY", 500)
    tally = RowTally()
    sizes = []
    for start in range(0, 9000, 300):
        rows = [
            sample(n, caption=f"w{n:x} v{n:x}", recaption=f"z{n} " * 9, thumbnail=b"x" * 99, clip_score=-n / 1e6)
            for n in range(start, start + 300)
        ]
        tally.add(rows)
        sizes.append(len(pickle.dumps(tally)))
    assert max(sizes[10:]) < 1.1 * max(sizes[:10])
    words = tally.summary()["words"]
    assert 0 < words["undercount"]["original"] <= 2 * 18_000 / 1000
