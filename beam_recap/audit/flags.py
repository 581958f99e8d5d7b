"""The flags of ``pipelines.audit``: its own, and those of ``pipelines.recap`` on input, pictures and CLIP."""

from __future__ import annotations

import dataclasses

from beam_recap.audit.run_output import ALL, KEPT
from beam_recap.flag import Flag
from beam_recap.flag_values import choice, integer, number, or_none, patterns, text
from beam_recap.flags import FLAGS as RECAP_FLAGS
from beam_recap.ocr.text_rate import FUZZY_THRESHOLD

_ROWS = ("max_rows", "url_column", "caption_column", "verify_hash", "prefilter", "unit_rows")
_CLIP = ("clip_model", "clip_pretrained", "clip_batch_size")


def _shared(*names: str, group: str | None = None) -> tuple[Flag, ...]:
    """Flags of the main job, by name or by group."""
    return tuple(flag for flag in RECAP_FLAGS if flag.name in names or flag.group == group)


AUDIT_FLAGS: tuple[Flag, ...] = (
    Flag(
        "input",
        "rows",
        None,
        patterns,
        "Required. Shards, as pipelines.recap takes them, whose pictures are fetched and looked at; or the directory "
        "of a run, of which nothing is fetched again: its files need ocr_has_text and ocr_text "
        "(--extra_columns=true with --ocr=rapidocr).",
    ),
    Flag("output", "rows", None, text, "Required. Directory for audit.json and audit.html, local or gs://."),
    Flag(
        "rows",
        "rows",
        KEPT,
        choice(KEPT, ALL),
        "Of a run: the rows it kept, or all, the rejected ones too.",
    ),
    *_shared(*_ROWS),
    *_shared(group="fetch"),
    *_shared(group="image"),
    Flag(
        "fuzzy_threshold",
        "text rate",
        f"{FUZZY_THRESHOLD:g}",
        number(0.01, 1, "give the lowest similarity of equal words, from 0.01 to 1"),
        "Lowest similarity (1 - Levenshtein distance / longer length) at which the fuzzy rate takes words for equal; "
        "the paper's is not published.",
    ),
    Flag("resamples", "text rate", "2000", integer(0, 100_000), "Draws of the bootstrap; 0: no intervals of means."),
    Flag("seed", "text rate", "0", integer(0, 10**9), "Of the bootstrap, and of the captions that words come from."),
    *(
        dataclasses.replace(
            flag,
            group="synthetic-text score",
            **(
                {"default": "none", "help": f"The CLIP to test: {flag.help} none: no synthetic-text score."}
                if flag.name == "clip_model"
                else {}
            ),
        )
        for flag in _shared(*_CLIP)
    ),
    Flag(
        "words",
        "synthetic-text score",
        "none",
        or_none(text),
        "File of words to draw, one per line; none: the most frequent words and runs of two and three of the captions.",
    ),
    Flag("max_words", "synthetic-text score", "1000", integer(1, 400_000), "At most so many words."),
    Flag(
        "font",
        "synthetic-text score",
        "none",
        or_none(text),
        "TrueType or OpenType file to draw with, on every worker's machine (the paper: Arial); none: Pillow's own, "
        "Aileron, which has ASCII only.",
    ),
    *_shared("device"),
    *_shared("verbose"),
)
