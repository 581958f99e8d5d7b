from __future__ import annotations

import hashlib
import math
import random

import pytest

from beam_recap.caption_mix import NEWEST, CaptionMix
from beam_recap.records import Sample

UIDS = [hashlib.md5(str(number).encode()).hexdigest() for number in range(20_000)]


def sample(uid: str = "u", caption: str | None = "old", recaption: str | None = "new") -> Sample:
    return Sample(unit="u", index=0, uid=uid, key="k", caption=caption, recaption=recaption)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_share_is_what_was_asked_for(share: float, seed: int) -> None:
    mix = CaptionMix(share, seed)
    taken = sum(mix.takes_original(uid) for uid in UIDS)
    sigma = math.sqrt(len(UIDS) * share * (1 - share))
    assert abs(taken - share * len(UIDS)) < 4 * sigma


def test_nothing_and_all() -> None:
    assert not any(CaptionMix(0.0).takes_original(uid) for uid in UIDS)
    assert all(CaptionMix(1.0).takes_original(uid) for uid in UIDS)


def test_the_choice_is_the_rows_own_whatever_the_order() -> None:
    mix = CaptionMix(0.5)
    chosen = {uid: mix.takes_original(uid) for uid in UIDS}
    shuffled = random.Random(0).sample(UIDS, len(UIDS))
    assert {uid: CaptionMix(0.5).takes_original(uid) for uid in shuffled} == chosen


def test_a_larger_share_takes_the_same_rows_and_more() -> None:
    some, more = CaptionMix(0.3), CaptionMix(0.31)
    assert all(more.takes_original(uid) for uid in UIDS if some.takes_original(uid))


@pytest.mark.parametrize("other", [CaptionMix(0.5, 1), CaptionMix(0.5, 2**63 - 1)])
def test_other_seeds_choose_anew(other: CaptionMix) -> None:
    same = sum(CaptionMix(0.5).takes_original(uid) == other.takes_original(uid) for uid in UIDS)
    assert abs(same - len(UIDS) / 2) < 4 * math.sqrt(len(UIDS) / 4)


def test_the_choice_has_nothing_to_do_with_who_is_judged() -> None:
    from beam_recap.judge import is_sampled

    same = sum(CaptionMix(0.5).takes_original(uid) == is_sampled(uid, 0.5) for uid in UIDS)
    assert abs(same - len(UIDS) / 2) < 4 * math.sqrt(len(UIDS) / 4)


@pytest.mark.parametrize("seed", [0, 7])
def test_others_can_repeat_it_in_three_lines(seed: int) -> None:
    for uid in [*UIDS[:200], "日本語 🎈", ""]:
        digest = hashlib.blake2b(f"caption_mix\0{seed}\0{uid}".encode(), digest_size=8).digest()
        takes_original = int.from_bytes(digest, "big") < 0.8 * 2**64
        assert CaptionMix(0.8, seed).takes_original(uid) == takes_original


def test_the_rule_does_not_change_from_version_to_version() -> None:
    mix = CaptionMix(0.5)
    assert "".join("01"[mix.takes_original(str(number))] for number in range(32)) == "11010000100011110111111000110101"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_where_one_is_missing_it_is_the_other(share: float) -> None:
    for number in range(50):
        uid, mix = str(number), CaptionMix(share)
        assert mix.choose(sample(uid, recaption=None)) == ("old", "original")
        assert mix.choose(sample(uid, caption=None)) == ("new", "new")
        assert mix.choose(sample(uid, None, None)) == (None, None)
        both = ("old", "original") if mix.takes_original(uid) else ("new", "new")
        assert mix.choose(sample(uid)) == both


def test_without_a_mix_it_is_the_new_one() -> None:
    assert NEWEST.choose(sample()) == ("new", "new")
    assert NEWEST.choose(sample(recaption=None)) == ("old", "original")


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match="must be in"):
        CaptionMix(share)


def test_of_flags() -> None:
    assert CaptionMix.of_flags({"caption_mix": None, "caption_mix_seed": 3}) is None
    assert CaptionMix.of_flags({"caption_mix": 0, "caption_mix_seed": 3}) == CaptionMix(0.0, 3)
