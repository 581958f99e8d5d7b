"""``docs/reasons.md``: why rows are rejected, and what can be done about it."""

from __future__ import annotations

from beam_recap.records import Reason
from beam_recap.reference.markdown import table
from beam_recap.report.wording import REASON_WORDS, STAGE_TITLES

_INTRODUCTION = """# Why rows are rejected

Made from the code by `make reference`; a test compares. Every rejected row stands in `rejected/` with its `stage`, its
`reason` and a `detail` in words; `summary.json` and `report.html` count them. Reasons marked *yes* may end otherwise at
another try: `--retry=transient` re-opens them, `--retry=all` every rejection."""

_STAGES = """The stages, in the order of a run; the filters among them go by `--filter_order`:"""

# What to do about it, and the flags that it hangs on.
ADVICE: dict[Reason, str] = {
    Reason.PREFILTERED: "`--prefilter`; the detail names the condition",
    Reason.CORRUPT_SHARD: "copy the file anew; the rows before the damage are there",
    Reason.MALFORMED_ROW: "look at the line that the detail names",
    Reason.MISSING_URL: "`--url_column`, if another column has them",
    Reason.MISSING_IMAGE: "the tar's row has no picture, or the file on disk is not there",
    Reason.INVALID_URL: "only http and https; files on disk with `--allow_local_files=true`; ports by `--fetch_ports`",
    Reason.PRIVATE_ADDRESS: "in a network of your own: `--allow_private_hosts=true`",
    Reason.ROBOTS_TXT: "`--robots_txt`",
    Reason.HOST_DOWN: "try again later, with fewer connections per host",
    Reason.DNS: "try again; many at once: check the resolver, lower `--fetch_concurrency`",
    Reason.REFUSED: "try again",
    Reason.RESET: "try again",
    Reason.CONNECTION_ERROR: "try again; the detail says more",
    Reason.TLS: "the site's fault as a rule; `--verify_tls=false` looks away",
    Reason.TIMEOUT: "`--fetch_timeout_s`, `--fetch_connect_timeout_s`",
    Reason.TOO_SLOW: "`--fetch_timeout_s`",
    Reason.REDIRECT_LOOP: "`--fetch_max_redirects`",
    Reason.OPTED_OUT: "`--disallowed_header_directives` names what is honoured",
    Reason.HTTP_403: "nothing, as a rule; a `--contact` helps",
    Reason.HTTP_404: "nothing: the picture is gone",
    Reason.HTTP_410: "nothing: the picture is gone",
    Reason.HTTP_4XX: "the detail has the status",
    Reason.HTTP_429: "slow down: `--host_requests_per_s`, `--connections_per_host`; then try again",
    Reason.HTTP_5XX: "try again",
    Reason.BAD_RESPONSE: "nothing; the detail says more",
    Reason.TOO_LARGE: "`--fetch_max_bytes`",
    Reason.EMPTY_BODY: "nothing",
    Reason.HASH_MISMATCH: "the picture has changed since the input was made; `--verify_hash=none` takes it",
    Reason.NOT_AN_IMAGE: "often a page that says sorry; the detail has the first bytes' kind",
    Reason.UNSUPPORTED_FORMAT: "`--image_formats`",
    Reason.CORRUPT: "nothing: half a picture is none",
    Reason.TOO_MANY_PIXELS: "`--max_pixels`",
    Reason.AREA_TOO_LARGE: "`--max_image_area`",
    Reason.TOO_SMALL: "`--min_image_size`",
    Reason.TOO_ELONGATED: "`--max_aspect_ratio`",
    Reason.MISSING_CAPTION: "`--caption_column`, if another column has them; `--min_clip_score=none` keeps such rows",
    Reason.LOW_CLIP_SCORE: "`--min_clip_score`; the score is in `rejected/`",
    Reason.LOW_AESTHETIC_SCORE: "`--min_aesthetic_score`; the score is in `rejected/`",
    Reason.HAS_TEXT: "`--max_ocr_boxes`; `ocr_text` is in `rejected/`",
    Reason.DUPLICATE_ROW: "`--drop_duplicate_rows`; the detail names the row that is kept",
    Reason.DUPLICATE_IMAGE: "`--drop_duplicate_images`; the detail names the row that is kept",
    Reason.NEAR_DUPLICATE_IMAGE: "`--near_duplicate_similarity`; the detail names the row that is kept",
    Reason.PLACEHOLDER_IMAGE: "`--max_same_image`",
    Reason.SPAM_CAPTION: "`--max_same_caption`",
    Reason.EMPTY_RECAPTION: "look at `--caption_prompt`",
    Reason.REPETITIVE_RECAPTION: "`--reject_captions`",
    Reason.REFUSAL: "`--reject_captions`",
    Reason.PROMPT_ECHO: "`--reject_captions`",
    Reason.TRUNCATED_RECAPTION: "`--caption_max_new_tokens`, `--reject_captions`",
    Reason.UNSEEN_QUOTES: "`--reject_captions`",
    Reason.NON_FINITE: "half precision overflowed or weights are damaged: `--dtype=float32`",
    Reason.OUT_OF_MEMORY: "smaller `--caption_batch_size` or `--max_pixels`; then try again",
    Reason.MODEL_ERROR: "the detail has the model's own words; then try again",
}


def reasons_page() -> str:
    """The page's text."""
    stages = table(("stage", "is"), [(f"`{stage}`", title) for stage, title in STAGE_TITLES.items()])
    rows = [
        (f"`{reason}`", REASON_WORDS[reason], "yes" if reason.is_transient else "", ADVICE[reason]) for reason in Reason
    ]
    reasons = table(("reason", "means", "transient", "what to do"), rows)
    return "\n\n".join((_INTRODUCTION, _STAGES, stages, reasons)) + "\n"
