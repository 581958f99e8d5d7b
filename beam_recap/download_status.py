"""How a row's download ended, in img2dataset's words: its columns ``status`` and ``error_message``.

Source of the words: img2dataset 1.47, `downloader.py`. As there, they speak of downloading and decoding only: a row
that a filter rejects later is a success.
"""

from __future__ import annotations

from beam_recap.records import Outcome, Reason, Rejection, Stage

SUCCESS = "success"
FAILED_TO_DOWNLOAD = "failed_to_download"
FAILED_TO_RESIZE = "failed_to_resize"

# What the fetch stage finds wrong with bytes that came. A wrong digest is not among them: img2dataset counts that as
# failed_to_download.
DECODE_REASONS = frozenset(
    {
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED_FORMAT,
        Reason.CORRUPT,
        Reason.TOO_MANY_PIXELS,
        Reason.AREA_TOO_LARGE,
        Reason.TOO_SMALL,
        Reason.TOO_ELONGATED,
        Reason.OUT_OF_MEMORY,
    }
)


def status_of(outcome: Outcome) -> str:
    """``success``, ``failed_to_download`` or ``failed_to_resize``.

    Rows that could not be read (a broken shard, no URL) were never asked for, and img2dataset has no word for them:
    they are ``failed_to_download``, with the reason in the message.
    """
    if not isinstance(outcome, Rejection) or outcome.stage not in (Stage.READ, Stage.FETCH):
        return SUCCESS
    if outcome.stage == Stage.FETCH and outcome.reason in DECODE_REASONS:
        return FAILED_TO_RESIZE
    return FAILED_TO_DOWNLOAD


def error_message_of(outcome: Outcome) -> str | None:
    """``reason: detail`` of a failed row, at most about 520 characters; None on success."""
    if not isinstance(outcome, Rejection) or status_of(outcome) == SUCCESS:
        return None
    return f"{outcome.reason}: {outcome.detail}" if outcome.detail else str(outcome.reason)
