"""Words that the dataset card and the report page share."""

from __future__ import annotations

from typing import Any

from beam_recap.flags import DEMO
from beam_recap.report.facts import RunFacts

STAGE_TITLES = {
    "read": "Read",
    "fetch": "Fetch and decode",
    "clip": "CLIP score",
    "aesthetic": "Aesthetic score",
    "ocr": "Visible text",
    "caption": "Caption",
    "rescore": "Score the caption",
}
NOT_USED = "not used"


def stage_title(stage: str) -> str:
    return STAGE_TITLES.get(stage, stage)


def stage_rule(stage: str, config: dict[str, Any]) -> str:
    """What a row needs to pass the stage, "" where that needs no words."""
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
