from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that

from beam_recap.names import CAPTION_FLAWS
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from transforms.check_caption import CheckCaption

GOOD = "A red fox stands in the snow beside a wooden fence."
BAD = {
    "repetition": ("the dog and " * 40, Reason.REPETITIVE_RECAPTION),
    "refusal": ("I'm sorry, but I cannot view this image.", Reason.REFUSAL),
    "prompt_echo": (f"{RECAP_PROMPT} A fox.", Reason.PROMPT_ECHO),
    "truncated": (GOOD + " It looks at the", Reason.TRUNCATED_RECAPTION),
    "unseen_quotes": ('A sign that says "Tomorrow closed".', Reason.UNSEEN_QUOTES),
}


def sample(recaption: str, **values: Any) -> Sample:
    values = {"ocr_text": "open", "ocr_complete": True, "recaption_truncated": False, **values}
    return Sample(unit="u", index=0, uid="uid", key="0", recaption=recaption, **values)


def judge(outcome: Outcome, *reject: str) -> Outcome:
    return CheckCaption(RECAP_PROMPT, reject)._check(outcome)


@pytest.mark.parametrize("flag", CAPTION_FLAWS)
def test_a_flag_is_noted_and_rejects_only_when_asked(flag: str) -> None:
    text, reason = BAD[flag]
    row = sample(text, recaption_truncated=flag == "truncated")
    kept = judge(row, *(other for other in CAPTION_FLAWS if other != flag))
    assert isinstance(kept, Sample) and kept.recaption_flags == (flag,)
    rejected = judge(row, flag)
    assert isinstance(rejected, Rejection)
    assert (rejected.stage, rejected.reason) == (Stage.CAPTION, reason)
    assert rejected.sample.recaption == text and rejected.sample.recaption_flags == (flag,)
    if flag == "unseen_quotes":
        assert rejected.detail == "quotes Tomorrow closed"


def test_a_good_caption() -> None:
    judged = judge(sample(GOOD + ' A sign says "OPEN".'), *CAPTION_FLAWS)
    assert isinstance(judged, Sample)
    assert (judged.recaption_flags, judged.unseen_quotes, judged.recaption_repetition) == ((), (), 0.0)


@pytest.mark.parametrize("values", [{"ocr_text": None, "ocr_complete": None}, {"ocr_complete": False}])
def test_quotes_are_not_judged_where_ocr_did_not_look_at_everything(values: dict[str, Any]) -> None:
    judged = judge(sample(BAD["unseen_quotes"][0], **values), "unseen_quotes")
    assert isinstance(judged, Sample)
    assert judged.unseen_quotes is None and judged.recaption_flags == ()


def test_what_has_no_caption_passes() -> None:
    row = dataclasses.replace(sample(GOOD), recaption=None)
    assert judge(row, *CAPTION_FLAWS) is row
    rejection = row.reject(Stage.CAPTION, Reason.MODEL_ERROR)
    assert judge(rejection, *CAPTION_FLAWS) is rejection


@pytest.mark.parametrize(
    ("recaption", "hinted", "is_echo"),
    [
        ("Its alt text, which may be wrong, is a bird. A bird on a wire.", True, True),
        ("Its alt text, which may be wrong, is a bird. A bird on a wire.", False, False),
        ("A Western Kingbird on a wire.", True, False),
        (f"{RECAP_PROMPT} A bird.", False, True),
    ],
)
def test_an_echo_of_a_hint_that_was_shown(recaption: str, hinted: bool, is_echo: bool) -> None:
    check = CheckCaption(RECAP_PROMPT, ("prompt_echo",), hint="Its alt text, which may be wrong, is: {caption}")
    row = sample(recaption, caption="Western Kingbird on a wire in the sun", recaption_hinted=hinted)
    assert isinstance(check._check(row), Rejection) == is_echo


def test_flags_are_counted() -> None:
    rows = [sample(BAD["refusal"][0]), sample(GOOD), sample(BAD["refusal"][0])]
    pipeline = beam.Pipeline()
    judged = pipeline | beam.Create(rows) | CheckCaption(RECAP_PROMPT, ("refusal",))
    assert_that(judged, lambda got: None if len(got) == 3 else pytest.fail(str(got)))
    result = pipeline.run()
    result.wait_until_finish()
    counters = {c.key.metric.name: c.committed for c in result.metrics().query()["counters"]}
    assert counters["captions_with_refusal"] == 2
