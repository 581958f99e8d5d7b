"""The rows: a `Sample` on its way through the pipeline, and the `Rejection` it may end as.

A row's *place* is (unit, index): a unit is a fixed range of one input shard, so a place depends neither on workers nor
on timing. Every input row ends in exactly one outcome: the finished `Sample`, or one `Rejection`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

MAX_DETAIL_CHARS = 500
# Fields of a sample with a number for each further CLIP model: cosine and lost share of the caption, of the recaption,
# and the model's factor of cosines.
MORE_CLIP_FIELDS = (
    "more_clip_scores",
    "more_captions_lost",
    "more_recaption_scores",
    "more_recaptions_lost",
    "more_logit_scales",
)


class Stage(StrEnum):
    """Where a row can be rejected. The values are written to the `stage` column of ``rejected/``."""

    READ = "read"
    FETCH = "fetch"
    CLIP = "clip"
    AESTHETIC = "aesthetic"
    OCR = "ocr"
    CAPTION = "caption"
    RESCORE = "rescore"
    MORE_CLIPS = "more_clips"
    CURATE = "curate"  # what only the whole dataset tells


class Reason(StrEnum):
    """Why a row was rejected. The values are written to the `reason` column of ``rejected/``."""

    # read
    PREFILTERED = "prefiltered"  # by what the source says of the row
    CORRUPT_SHARD = "corrupt_shard"
    MALFORMED_ROW = "malformed_row"
    MISSING_URL = "missing_url"
    MISSING_IMAGE = "missing_image"
    # fetch: before anything is asked
    INVALID_URL = "invalid_url"
    PRIVATE_ADDRESS = "private_address"
    ROBOTS_TXT = "robots_txt"  # disallowed there
    HOST_DOWN = "host_down"  # the last rows of this host all failed; not asked again for a while
    # fetch: no answer, or not all of it
    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"  # the connection broke
    CONNECTION_ERROR = "connection_error"  # no route, or a failure inside the fetcher
    TLS = "tls"
    TIMEOUT = "timeout"  # no answer in time
    TOO_SLOW = "too_slow"  # an answer that did not end in time
    # fetch: an answer that is of no use
    REDIRECT_LOOP = "redirect_loop"  # a circle, or more redirects than allowed
    OPTED_OUT = "opted_out"
    HTTP_403 = "http_403"
    HTTP_404 = "http_404"
    HTTP_410 = "http_410"
    HTTP_4XX = "http_4xx"  # any other
    HTTP_429 = "http_429"
    HTTP_5XX = "http_5xx"
    BAD_RESPONSE = "bad_response"  # no HTTP, or a status that was not asked for
    TOO_LARGE = "too_large"  # bytes
    EMPTY_BODY = "empty_body"
    HASH_MISMATCH = "hash_mismatch"
    # decode (still the fetch stage)
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    AREA_TOO_LARGE = "area_too_large"
    TOO_SMALL = "too_small"
    TOO_ELONGATED = "too_elongated"
    # filters
    MISSING_CAPTION = "missing_caption"
    LOW_CLIP_SCORE = "low_clip_score"
    LOW_AESTHETIC_SCORE = "low_aesthetic_score"
    HAS_TEXT = "has_text"
    # the whole dataset
    DUPLICATE_ROW = "duplicate_row"  # the same URL and caption
    DUPLICATE_IMAGE = "duplicate_image"  # the same bytes
    NEAR_DUPLICATE_IMAGE = "near_duplicate_image"  # nearly the same embedding
    PLACEHOLDER_IMAGE = "placeholder_image"  # the same bytes under too many captions
    SPAM_CAPTION = "spam_caption"  # over too many pictures
    # models
    EMPTY_RECAPTION = "empty_recaption"
    REPETITIVE_RECAPTION = "repetitive_recaption"
    REFUSAL = "refusal"  # the captioner would not answer
    PROMPT_ECHO = "prompt_echo"
    TRUNCATED_RECAPTION = "truncated_recaption"
    UNSEEN_QUOTES = "unseen_quotes"  # the recaption quotes text that OCR did not see
    NON_FINITE = "non_finite"
    OUT_OF_MEMORY = "out_of_memory"
    MODEL_ERROR = "model_error"

    @property
    def is_transient(self) -> bool:
        """Whether another try, later, may end differently: what ``--retry=transient`` re-opens."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        Reason.HOST_DOWN,
        Reason.DNS,
        Reason.REFUSED,
        Reason.RESET,
        Reason.CONNECTION_ERROR,
        Reason.TIMEOUT,
        Reason.TOO_SLOW,
        Reason.HTTP_429,
        Reason.HTTP_5XX,
        Reason.OUT_OF_MEMORY,
        Reason.MODEL_ERROR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image-text pair. A value that was not computed is None, never 0."""

    # Its place.
    unit: str
    index: int

    # What its source says.
    uid: str  # the source's own id, else a digest of (url, caption)
    key: str  # img2dataset-style: shard number and row, or the tar's own key; depends on the layout, no identity
    url: str | None = None
    caption: str | None = None  # the original alt-text
    source_row: int | None = None  # position in its shard
    source_id: int | None = None  # LAION's SAMPLE_ID
    source_width: int | None = None  # px
    source_height: int | None = None  # px
    license: str | None = None
    nsfw: str | None = None
    expected_digest: str | None = None  # of the encoded bytes, from --verify_hash's column

    # FetchImage.
    http_status: int | None = None  # of the last answer; None if there was none, or nothing was asked
    image_bytes: bytes | None = None  # encoded, from a tar; None once decoded; then a JPEG on its way to the checkpoint
    image: np.ndarray | None = None  # RGB, uint8 [H, W, 3], upright, long side <= --image_size px
    sha256: str | None = None  # of the encoded bytes as they came
    width: int | None = None  # px, of the upright image as it came
    height: int | None = None  # px
    image_format: str | None = None  # "JPEG", "PNG", "WEBP", "GIF", "AVIF"
    exif: str | None = None  # a JSON object of tag names and texts; only where it was asked for
    download_bytes: int | None = None  # of the encoded picture; None if it was not downloaded
    thumbnail: bytes | None = None  # JPEG, for the report; only on a few rows, once their outcome is known
    picture: str | None = None  # where its JPEG is in the checkpoint (`checkpoint_pictures`); only if there are tars

    # ScoreCLIP and AestheticFilter.
    image_embedding: np.ndarray | None = None  # unit length, float32 [D]
    clip_score: float | None = None  # cosine of image and original caption, [-1, 1]
    caption_lost: float | None = None  # the share of the original caption that did not fit CLIP's context, [0, 1]
    embedding: bytes | None = None  # the image embedding to keep: float16 little-endian [D]; only where a run keeps it
    aesthetic_score: float | None = None  # the head's scale; 1-10 for SAC+LOGOS+AVA1

    # OCRFilter.
    ocr_has_text: bool | None = None
    ocr_text: str | None = None  # accepted texts in reading order, joined by spaces; "" if none
    ocr_boxes: int | None = None  # accepted boxes
    ocr_confidence: float | None = None  # highest accepted recognition score, [0, 1]
    ocr_area: float | None = None  # share of the image under accepted boxes, [0, 1]
    ocr_complete: bool | None = None  # False after an early exit: text, boxes and area are lower bounds

    # CaptionImage and the second ScoreCLIP.
    recaption: str | None = None
    recaption_tokens: int | None = None  # new tokens, without the end token
    recaption_truncated: bool | None = None  # no end token within the limit
    recaption_hinted: bool | None = None  # the captioner was shown the original caption; None if it never is
    recaption_repetition: float | None = None  # share that repeats itself, [0, 1]
    recaption_flags: tuple[str, ...] | None = None  # of `caption_quality.FLAGS`
    unseen_quotes: tuple[str, ...] | None = None  # quoted in the recaption, not seen by OCR; None if that did not run
    recaption_clip_score: float | None = None  # cosine of image and recaption, [-1, 1]
    recaption_lost: float | None = None  # the share of the recaption that did not fit CLIP's context, [0, 1]
    clip_logit_scale: float | None = None  # CLIP's factor of cosines, about 100

    # ScoreMoreClips: one number per further model, in the config's order.
    more_clip_scores: tuple[float | None, ...] | None = None  # as clip_score
    more_captions_lost: tuple[float | None, ...] | None = None  # as caption_lost
    more_recaption_scores: tuple[float | None, ...] | None = None
    more_recaptions_lost: tuple[float | None, ...] | None = None
    more_logit_scales: tuple[float | None, ...] | None = None

    # RateCaptions.
    caption_rating: int | None = None  # of the original caption, 1 to 5
    recaption_rating: int | None = None  # 1 to 5

    # Seconds of a worker's thread by stage, as `costs.COSTED` orders them; None for a stage that it did not go through.
    seconds: tuple[float | None, ...] | None = None

    # Curate.
    cluster: int | None = None  # the label of its cluster, from 0: the source's, or in final files that of --clusters

    def reject(self, stage: Stage | str, reason: Reason | str, detail: str = "") -> Rejection:
        """This row's rejection, with what is known so far but for encoded bytes and embeddings.

        The pixels stay for a thumbnail, which the checkpoint makes; between workers they do not travel.
        """
        sample = dataclasses.replace(self, image_bytes=None, image_embedding=None, embedding=None)
        return Rejection(sample=sample, stage=stage, reason=reason, detail=detail[:MAX_DETAIL_CHARS])

    def without_image(self) -> Sample:
        """The same row with text and numbers only (and its thumbnail, if it has one)."""
        return dataclasses.replace(self, image=None, image_bytes=None, image_embedding=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A row that is out, and why."""

    sample: Sample  # what was known by then
    stage: Stage | str  # a text where the filter is of another project
    reason: Reason | str  # likewise
    detail: str = ""  # at most 500 characters


Outcome = Sample | Rejection
Names = TypeVar("Names", bound=StrEnum)


def member_or_text(names: type[Names], value: str) -> Names | str:
    """The `Stage` or `Reason` of a value; the text itself if there is none: other projects' filters have their own."""
    try:
        return names(value)
    except ValueError:
        return value
