"""Filters of other projects have stages and reasons of their own, which this one carries as they are."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from beam_recap import checkpoint
from beam_recap.records import Reason, Rejection, Sample, Stage, member_or_text
from transforms.coders import RejectionCoder


class Mine(StrEnum):
    BLURRED = "blurred"


ROW = Sample(unit="u", index=0, uid="x", key="k")
REJECTION = ROW.reject("sharpness", Mine.BLURRED, "3.0 is not above 100")


def test_a_value_is_a_member_or_itself() -> None:
    assert member_or_text(Reason, "dns") is Reason.DNS
    assert member_or_text(Stage, "sharpness") == "sharpness"


def test_workers_hand_them_on() -> None:
    coder = RejectionCoder()
    assert coder.decode(coder.encode(REJECTION)) == REJECTION
    ours = ROW.reject(Stage.FETCH, Reason.DNS)
    decoded = coder.decode(coder.encode(ours))
    assert (decoded.stage, decoded.reason) == (Stage.FETCH, Reason.DNS) and isinstance(decoded.reason, Reason)


def test_the_checkpoint_keeps_them_and_takes_none_for_transient(tmp_path: Path) -> None:
    output = str(tmp_path)
    other = Rejection(sample=Sample(unit="u", index=1, uid="y", key="l"), stage=Stage.FETCH, reason=Reason.TIMEOUT)
    checkpoint.write_outcomes(output, 1, [REJECTION, other])
    found = checkpoint.read_outcomes(output, "u")
    assert [(outcome.stage, outcome.reason) for outcome in found] == [("sharpness", "blurred"), ("fetch", "timeout")]
    assert checkpoint.done_indexes(output, "u", "transient") == {0}
    assert checkpoint.done_indexes(output, "u", "none") == {0, 1}
    assert checkpoint.done_indexes(output, "u", "all") == set()
