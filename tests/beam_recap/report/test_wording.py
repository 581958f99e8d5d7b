import pytest

from beam_recap.records import Reason, Stage
from beam_recap.report.wording import REASON_WORDS, STAGE_TITLES, reason_words, status_words


def test_every_reason_and_stage_has_words() -> None:
    assert set(REASON_WORDS) == set(Reason)
    assert set(STAGE_TITLES) == {str(stage) for stage in Stage}


@pytest.mark.parametrize("reason", Reason)
def test_words_of_a_reason_are_plain_and_its_own(reason: Reason) -> None:
    words = reason_words(str(reason))
    assert words != str(reason) and "_" not in words
    assert 0 < len(words) <= 60
    assert list(REASON_WORDS.values()).count(words) == 1


@pytest.mark.parametrize(("status", "words"), [("404", "Not Found"), ("999", "not a registered status")])
def test_words_of_a_status(status: str, words: str) -> None:
    assert status_words(status) == words
