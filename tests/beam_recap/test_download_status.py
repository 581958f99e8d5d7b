from __future__ import annotations

import pytest

from beam_recap.download_status import error_message_of, status_of
from beam_recap.records import Reason, Sample, Stage

SAMPLE = Sample(unit="u", index=0, uid="x", key="k", url="http://x/a.jpg")

DECODING = (
    "not_an_image", "unsupported_format", "corrupt", "too_many_pixels", "area_too_large", "too_small", "too_elongated",
    "out_of_memory",
)  # fmt: skip


def test_a_kept_row_is_a_success() -> None:
    assert (status_of(SAMPLE), error_message_of(SAMPLE)) == ("success", None)


@pytest.mark.parametrize("reason", Reason)
def test_what_fails_in_the_fetch_stage(reason: Reason) -> None:
    rejection = SAMPLE.reject(Stage.FETCH, reason, "so it was")
    assert status_of(rejection) == ("failed_to_resize" if reason in DECODING else "failed_to_download")
    assert error_message_of(rejection) == f"{reason}: so it was"


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in (Stage.READ, Stage.FETCH)])
def test_what_filters_and_models_reject_was_downloaded(stage: Stage) -> None:
    rejection = SAMPLE.reject(stage, Reason.OUT_OF_MEMORY, "no room")
    assert (status_of(rejection), error_message_of(rejection)) == ("success", None)


@pytest.mark.parametrize("reason", [Reason.MISSING_URL, Reason.CORRUPT_SHARD, Reason.MALFORMED_ROW, Reason.CORRUPT])
def test_what_could_not_be_read_was_not_downloaded(reason: Reason) -> None:
    rejection = SAMPLE.reject(Stage.READ, reason)
    assert (status_of(rejection), error_message_of(rejection)) == ("failed_to_download", str(reason))
