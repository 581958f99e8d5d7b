"""Words that the dataset card and the report page share."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from beam_recap.flag import DEMO
from beam_recap.records import Reason
from beam_recap.report.facts import RunFacts

STAGE_TITLES = {
    "read": "Read",
    "fetch": "Fetch and decode",
    "clip": "CLIP score",
    "aesthetic": "Aesthetic score",
    "ocr": "Visible text",
    "caption": "Caption",
    "rescore": "Score the caption",
    "more_clips": "Score by more models",
    "curate": "Compare with other rows",
}
REASON_WORDS = {
    Reason.PREFILTERED: "what the input says of the row",
    Reason.CORRUPT_SHARD: "the input file could not be read",
    Reason.MALFORMED_ROW: "the row could not be read",
    Reason.MISSING_URL: "no URL",
    Reason.MISSING_IMAGE: "no picture in the input",
    Reason.INVALID_URL: "not a URL that can be asked for",
    Reason.PRIVATE_ADDRESS: "leads to an address that is not public",
    Reason.ROBOTS_TXT: "forbidden by the site's robots.txt",
    Reason.HOST_DOWN: "not asked: the host had failed too often",
    Reason.DNS: "host name not found",
    Reason.REFUSED: "connection refused",
    Reason.RESET: "the connection broke",
    Reason.CONNECTION_ERROR: "no connection",
    Reason.TLS: "certificate or encryption not valid",
    Reason.TIMEOUT: "no answer in time",
    Reason.TOO_SLOW: "the answer did not end in time",
    Reason.REDIRECT_LOOP: "too many redirects, or in a circle",
    Reason.OPTED_OUT: "the owner opted out of use by machines",
    Reason.HTTP_403: "forbidden",
    Reason.HTTP_404: "not found",
    Reason.HTTP_410: "gone for good",
    Reason.HTTP_4XX: "refused by the server",
    Reason.HTTP_429: "too many requests",
    Reason.HTTP_5XX: "the server failed",
    Reason.BAD_RESPONSE: "an answer that is not proper HTTP",
    Reason.TOO_LARGE: "more bytes than allowed",
    Reason.EMPTY_BODY: "an empty answer",
    Reason.HASH_MISMATCH: "not the bytes that the input's digest names",
    Reason.NOT_AN_IMAGE: "not a picture",
    Reason.UNSUPPORTED_FORMAT: "a picture of a format that is not taken",
    Reason.CORRUPT: "a damaged or cut-off picture",
    Reason.TOO_MANY_PIXELS: "more pixels, or passes over them, than are decoded",
    Reason.AREA_TOO_LARGE: "a larger area than allowed",
    Reason.TOO_SMALL: "a side shorter than allowed",
    Reason.TOO_ELONGATED: "too long for its width",
    Reason.MISSING_CAPTION: "no caption",
    Reason.LOW_CLIP_SCORE: "picture and caption do not fit well enough",
    Reason.LOW_AESTHETIC_SCORE: "aesthetic score not high enough",
    Reason.HAS_TEXT: "visible text in the picture",
    Reason.DUPLICATE_ROW: "another row has the same URL and caption",
    Reason.DUPLICATE_IMAGE: "another row has the same picture",
    Reason.NEAR_DUPLICATE_IMAGE: "another row has nearly the same picture",
    Reason.PLACEHOLDER_IMAGE: "the same picture goes with too many captions",
    Reason.SPAM_CAPTION: "the same caption goes with too many pictures",
    Reason.REPETITIVE_RECAPTION: "the new caption repeats itself",
    Reason.REFUSAL: "the captioner refused",
    Reason.PROMPT_ECHO: "the new caption repeats the question",
    Reason.TRUNCATED_RECAPTION: "the new caption was cut at its limit",
    Reason.UNSEEN_QUOTES: "the new caption quotes text that is not seen",
    Reason.EMPTY_RECAPTION: "the captioner said nothing",
    Reason.NON_FINITE: "a model gave no number",
    Reason.OUT_OF_MEMORY: "not enough memory",
    Reason.MODEL_ERROR: "a model failed",
}
NOT_USED = "not used"


def stage_title(stage: str) -> str:
    return STAGE_TITLES.get(stage, stage)


def reason_words(reason: str) -> str:
    return REASON_WORDS[Reason(reason)]


def status_words(status: str) -> str:
    """The name of an HTTP status code, as registered."""
    names = {str(known.value): known.phrase for known in HTTPStatus}
    return names.get(status, "not a registered status")


def stage_rule(stage: str, config: dict[str, Any]) -> str:
    """What a row needs to pass the stage, "" where that needs no words."""
    if stage == "read":
        return ", ".join(config["prefilter"])
    if stage == "clip":
        return _above("cosine", config["min_clip_score"])
    if stage == "aesthetic":
        return _above("score", config["min_aesthetic_score"])
    if stage == "ocr":
        boxes = config["max_ocr_boxes"]
        if boxes is None:
            return "measured only"
        return f"at most {boxes} text boxes" if boxes else "no visible text"
    return ""


def _above(name: str, threshold: float | None) -> str:
    return "measured only" if threshold is None else f"{name} > {threshold:g}"


def model_rows(facts: RunFacts) -> list[tuple[str, str]]:
    """(what for, model) of each model of the run."""
    provenance = facts.provenance
    return [
        ("CLIP (scores)", provenance.clip_model or NOT_USED),
        ("Aesthetic head", provenance.aesthetic_model or NOT_USED),
        ("Text spotter", provenance.ocr_engine or NOT_USED),
        ("Captioner", provenance.captioner or NOT_USED),
    ]


def demo_note(facts: RunFacts) -> str | None:
    """A warning where models of the demonstration were used, else None."""
    names = {"clip_model": "CLIP", "aesthetic_weights": "aesthetic head", "captioner": "captioner"}
    used = [name for flag, name in names.items() if facts.config[flag] == DEMO]
    if not used:
        return None
    return (
        f"Demonstration models were used ({', '.join(used)}). They are tiny and know only drawings of coloured shapes: "
        "on any other picture their scores and captions mean nothing."
    )
