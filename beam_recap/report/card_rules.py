"""What a run asked of a row and which models it used, in the words of the dataset card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from beam_recap.report.facts import RunFacts
from beam_recap.report.markdown import code, escape, fenced, table
from beam_recap.report.wording import NOT_USED, stage_title

_FLAWS = {
    "repetition": "repeats itself",
    "refusal": "is a refusal",
    "prompt_echo": "repeats the question",
    "truncated": "was cut at its limit",
    "unseen_quotes": "quotes text that was not seen in the picture",
}


def rules_section(facts: RunFacts) -> str:
    """What a row needed to be kept, stage by stage, with every threshold."""
    lines = []
    for _, stage in facts.stages:
        said = "; ".join(_RULES[stage](facts.config)) if stage in _RULES else ""
        if said:
            lines.append(f"- **{stage_title(stage)}**: {said}.")
    return "\n".join(["## Rules", "", "A row was kept if it passed every stage:", "", *lines])


def models_section(facts: RunFacts) -> str:
    """The models with what tells their weights from others, and what the captioner was asked."""
    text = "## Models\n\n" + table(
        ("For", "Model", "Weights"), [(use, escape(model), escape(weights)) for use, model, weights in _models(facts)]
    )
    text += (
        "\n\nWeights are told by their commit on the hub, by the tag that open_clip knows them by, or by a "
        "fingerprint: the first 16 hexadecimal digits of SHA-256 of the files' names, sizes and outer 64 KiB."
    )
    if facts.provenance.captioner is not None:
        text += (
            f"\n\nThe captioner was asked, decoding greedily with at most {facts.config['caption_max_new_tokens']} new "
            f"tokens:\n\n{fenced(facts.config['caption_prompt'], 'text')}"
        )
        if (hint := facts.config["caption_hint"]) is not None:
            text += (
                "\n\nWhere a row had an original caption, the question went on with it, so that the new caption may "
                f"repeat its words and its errors:\n\n{fenced(hint, 'text')}"
            )
    return text


def _models(facts: RunFacts) -> Iterator[tuple[str, str, str]]:
    """(what for, model, weights) of each model of the run."""
    made, config = facts.provenance, facts.config
    yield "CLIP (scores)", made.clip_model or NOT_USED, _weights(facts, "clip_model", config["clip_pretrained"])
    for number, model in enumerate(made.more_clip_models):
        fingerprints = facts.model_files.get("more_clip_models") or []
        yield "CLIP (more scores)", model, _fingerprint(fingerprints[number] if number < len(fingerprints) else None)
    yield "Aesthetic head", made.aesthetic_model or NOT_USED, _weights(facts, "aesthetic_weights", None)
    if config["aesthetic_clip_model"] is not None:
        model = "/".join(filter(None, (config["aesthetic_clip_model"], config["aesthetic_clip_pretrained"])))
        yield (
            "CLIP (aesthetic score)",
            model,
            _weights(facts, "aesthetic_clip_model", config["aesthetic_clip_pretrained"]),
        )
    yield "Text spotter", made.ocr_engine or NOT_USED, "inside the package" if made.ocr_engine else ""
    commit = (made.captioner or "").rpartition("@")[2] if "@" in (made.captioner or "") else None
    yield "Captioner", made.captioner or NOT_USED, _weights(facts, "captioner", commit)
    if config["judge_endpoint_model"] is not None:
        yield "Judge (ratings)", config["judge_endpoint_model"], "a server's"


def _weights(facts: RunFacts, flag: str, named: str | None) -> str:
    if facts.config[flag] is None:
        return "a server's" if flag == "captioner" and facts.config["caption_endpoint"] is not None else ""
    found = facts.model_files.get(flag)
    return _fingerprint(found) if found is not None else named or ""


def _fingerprint(value: str | None) -> str:
    return "" if value is None else f"fingerprint {value}"


def _read(config: dict[str, Any]) -> Iterator[str]:
    if config["prefilter"]:
        yield f"the source says of it {code(', '.join(config['prefilter']))}"


def _fetch(config: dict[str, Any]) -> Iterator[str]:
    yield f"its picture was there, in at most {config['fetch_max_bytes']:,} bytes"
    if config["disallowed_header_directives"]:
        yield f"its owner did not opt out ({code(', '.join(config['disallowed_header_directives']))})"
    if config["robots_txt"] == "obey":
        yield "the site's robots.txt allowed it"
    yield f"it could be decoded ({escape(', '.join(config['image_formats']))}; at most {config['max_pixels']:,} pixels)"
    yield f"its short side was at least {config['min_image_size']} px"
    if config["max_image_area"] is not None:
        yield f"its area was at most {config['max_image_area']:,.0f} square pixels"
    if config["max_aspect_ratio"] is not None:
        yield f"its long side was at most {config['max_aspect_ratio']:g} times its short side"


def _clip(config: dict[str, Any]) -> Iterator[str]:
    least = config["min_clip_score"]
    if least is None:
        yield "the cosine of picture and original caption was measured only"
    else:
        yield f"the cosine of picture and original caption was above {least:g}"


def _aesthetic(config: dict[str, Any]) -> Iterator[str]:
    least, scale = config["min_aesthetic_score"], config["aesthetic_scale"].upper()
    if least is None:
        yield f"the aesthetic score ({scale} scale) was measured only"
    else:
        yield f"the aesthetic score ({scale} scale) was above {least:g}"


def _ocr(config: dict[str, Any]) -> Iterator[str]:
    most = config["max_ocr_boxes"]
    if most is None:
        yield "visible text was measured only"
    else:
        yield f"at most {most} boxes of text were seen in the picture" if most else "no text was seen in the picture"


def _caption(config: dict[str, Any]) -> Iterator[str]:
    yield "the captioner said something"
    if config["reject_captions"]:
        yield f"it is no caption that {' or '.join(_FLAWS[flaw] for flaw in config['reject_captions'])}"


def _curate(config: dict[str, Any]) -> Iterator[str]:
    if config["drop_duplicate_rows"]:
        yield "of rows with the same URL and caption one was kept"
    if config["drop_duplicate_images"]:
        yield "of rows with the same picture, byte for byte, one was kept"
    if (similarity := config["near_duplicate_similarity"]) is not None:
        yield f"of pictures whose embeddings have a cosine of at least {similarity:g} in a cluster one was kept"
    if (most := config["max_same_image"]) is not None:
        yield f"the picture came with at most {most} different captions"
    if (most := config["max_same_caption"]) is not None:
        yield f"the caption came with at most {most} different pictures"


_RULES: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "read": _read,
    "fetch": _fetch,
    "clip": _clip,
    "aesthetic": _aesthetic,
    "ocr": _ocr,
    "caption": _caption,
    "curate": _curate,
}
