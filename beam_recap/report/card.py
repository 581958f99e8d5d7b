"""``README.md``: the Hugging Face dataset card, with front matter that equals the files.

Source of the front matter's form: the cards of Recap-DataComp-1B and LAION text-debiased 100M, where ``num_bytes`` are
bytes of the split in Arrow, ``download_size`` those of its Parquet files and ``dataset_size`` the sum of ``num_bytes``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml

from beam_recap.assemble import ShardStats
from beam_recap.report.card_outputs import has_pictures, mix_section, pictures_section
from beam_recap.report.card_rules import models_section, rules_section
from beam_recap.report.column_notes import note_of
from beam_recap.report.facts import RunFacts
from beam_recap.report.markdown import escape, fenced, table
from beam_recap.report.wording import demo_note, stage_rule, stage_title

TAG = "beam-recap"  # tells cards that are ours

# Names of types as the `datasets` library writes them.
_DTYPES = {
    pa.string(): "string",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.bool_(): "bool",
    pa.binary(): "binary",
}
_LANGUAGE = re.compile(r"language==([a-z]{2,3})")
# Upper bounds of the hub's size categories.
_SIZES = tuple(
    (10**exponent, name)
    for exponent, name in zip(
        range(3, 13), ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"), strict=True
    )
)


def dataset_card(facts: RunFacts, summary: dict[str, Any], schema: pa.Schema, stats: Sequence[ShardStats]) -> str:
    """The card's text.

    Args:
      facts: what was known when the run started.
      summary: of the whole run, from `build_summary`.
      schema: of the files in ``data/``.
      stats: every output shard's.

    Raises:
      ValueError: a column's type has no name in `datasets`.
    """
    sections = (
        _front_matter(facts, schema, stats),
        _introduction(facts, summary),
        _funnel(facts, summary),
        rules_section(facts),
        models_section(facts),
        _columns(schema),
        mix_section(facts),
        pictures_section(facts, stats[0].files[-1].name if stats else ""),
        _scores(facts),
        _repeat(facts, summary),
        _LICENCE,
    )
    return "\n\n".join(section.strip("\n") for section in sections if section) + "\n"


def _front_matter(facts: RunFacts, schema: pa.Schema, stats: Sequence[ShardStats]) -> str:
    kept = [shard.files[0] for shard in stats]
    arrow_bytes = sum(file.arrow_bytes for file in kept)
    rows = sum(file.rows for file in kept)
    metadata = {
        "pretty_name": _name(facts),
        "license": "other",
        **_language(facts),
        "language_creators": ["found", "machine-generated"] if facts.provenance.captioner else ["found"],
        "annotations_creators": ["machine-generated"],
        "task_categories": ["image-to-text", "text-to-image"],
        "size_categories": [_size_category(rows)],
        "tags": [TAG, "image-text"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {
            "features": card_features(schema),
            "splits": [{"name": "train", "num_bytes": arrow_bytes, "num_examples": rows}],
            "download_size": sum(file.file_bytes for file in kept),
            "dataset_size": arrow_bytes,
        },
    }
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---"


def _language(facts: RunFacts) -> dict[str, Any]:
    """The language of the original captions, where the prefilter asks for one."""
    wanted = [_LANGUAGE.fullmatch(condition) for condition in facts.config["prefilter"]]
    languages = sorted({match[1] for match in wanted if match})
    return {"language": languages} if len(languages) == 1 else {}


def card_features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns as a card's ``features`` tell them. Raises `ValueError` for a type that has no name there."""
    return [{"name": field.name, **_feature(field.name, field.type)} for field in schema]


def _feature(column: str, kind: pa.DataType) -> dict[str, Any]:
    """A column's type as `datasets` writes it: ``{"dtype": NAME}``, or ``{"list": ...}`` of what is in it."""
    if pa.types.is_list(kind):
        inner = _feature(column, kind.value_type)
        return {"list": inner.get("dtype", inner)}
    if kind not in _DTYPES:
        raise ValueError(f"column {column} of type {kind} has no name in a dataset card")
    return {"dtype": _DTYPES[kind]}


def _dtype(column: str, kind: pa.DataType) -> str:
    return f"list of {_dtype(column, kind.value_type)}" if pa.types.is_list(kind) else _feature(column, kind)["dtype"]


def _size_category(rows: int) -> str:
    lower = ""
    for bound, name in _SIZES:
        if rows < bound:
            return f"{lower}n<{name}"
        lower = f"{name}<"
    return "n>1T"


def _name(facts: RunFacts) -> str:
    return facts.output.rstrip("/").rsplit("/", 1)[-1] or "dataset"


def _introduction(facts: RunFacts, summary: dict[str, Any]) -> str:
    counts = summary["counts"]
    share = "" if counts["kept_percent"] is None else f" ({counts['kept_percent']:.2f} %)"
    captions = (
        "an original caption and a new, longer one"
        if facts.provenance.captioner is not None
        else "its original caption"
    )
    pictures = "The pictures are in `webdataset/`" if has_pictures(facts) else "The pictures themselves are not here"
    lines = [
        f"# {escape(_name(facts))}",
        f"Image-text pairs made with beam-recap, preset `{facts.preset}`. Each row is a picture's address with "
        f"{captions}, and scores. Of {counts['rows']:,} rows read, {counts['kept']:,}{share} were kept (`data/`) and "
        f"{counts['rejected']:,} rejected (`rejected/`, with stage and reason). {pictures}. "
        "`report.html` shows examples; `summary.json` holds every number of the run.",
    ]
    if (note := demo_note(facts)) is not None:
        lines.append(f"> **Note.** {note}")
    if counts["kept"]:
        lines.append(
            '```python\nfrom datasets import load_dataset\n\nrows = load_dataset("PATH_OR_ID", split="train")\n```'
        )
    else:
        lines.append("No row was kept: the files in `data/` have columns but no rows, which `load_dataset` refuses.")
    return "\n\n".join(lines)


def _funnel(facts: RunFacts, summary: dict[str, Any]) -> str:
    rows = []
    for stage in summary["counts"]["by_stage"]:
        rule = stage_rule(stage["stage"], facts.config)
        title = f"{stage_title(stage['stage'])} ({rule})" if rule else stage_title(stage["stage"])
        reasons = ", ".join(f"`{reason}` {count:,}" for reason, count in stage["reasons"].items())
        rows.append(
            (
                escape(title),
                f"{stage['rows_in']:,}",
                f"{stage['rejected']:,}",
                f"{stage['rows_out']:,}",
                reasons,
            )
        )
    text = "## Rows\n\n" + table(("Stage", "Rows in", "Rejected", "Rows out", "Reasons"), rows, right=(1, 2, 3))
    fetch = summary["fetch"]
    if fetch["rows"]:
        text += (
            f"\n\nOf {fetch['rows']:,} pictures to be downloaded, {fetch['fetched']:,} "
            f"({fetch['fetched_percent']:.2f} %) were fetched; `report.html` and `summary.json` say by HTTP status, "
            "reason and host what became of the rest."
        )
    return text


def _columns(schema: pa.Schema) -> str:
    rows = [(f"`{field.name}`", _dtype(field.name, field.type), escape(note_of(field.name))) for field in schema]
    return "## Columns\n\nA value that was not computed is null, never 0.\n\n" + table(
        ("Column", "Type", "Meaning"), rows
    )


def _scores(facts: RunFacts) -> str:
    clip = facts.provenance.clip_model
    lines = ["## Scores"]
    if clip is None:
        lines.append("No CLIP model was used: CLIP scores are null.")
    else:
        lines.append(
            f"CLIP scores (`re_clip_score`, `org_clip_score`, `similarity`, where they are columns) are cosines, in "
            f"[-1, 1], of the image's and the caption's embeddings by this run's CLIP model, {escape(clip)}. They can "
            "be compared with one another, not with scores of other CLIP models. A caption beyond the model's context "
            "is cut before it is scored."
        )
    if facts.provenance.aesthetic_model is not None:
        lines.append(f"Aesthetic scores are those of {escape(facts.provenance.aesthetic_model)}, V2 scale, 1 to 10.")
    lines.append(_ratings(facts))
    return "\n\n".join(lines)


def _ratings(facts: RunFacts) -> str:
    columns = "(`re_gpt4v_score`, `org_gpt4v_score`, where they are columns)"
    model = facts.config["judge_endpoint_model"]
    if model is None:
        return f"GPT-4V ratings {columns} are null: nobody rated."
    share = facts.config["judge_sample"]
    return (
        f"Ratings {columns} are not GPT-4V's but those of {escape(model)} at "
        f"{escape(facts.config['judge_endpoint'])}, from 1 to 5, asked the question of Recap-DataComp-1B about "
        f"{share:.2%} of the rows; null where it was not asked or its answer was not clear."
    )


def _repeat(facts: RunFacts, summary: dict[str, Any]) -> str:
    made_by = f"beam-recap {summary['beam_recap_version']}"
    packages = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return (
        f"## How to repeat it\n\n{fenced(facts.command, 'sh')}\n\n"
        f"Made with {made_by} ({escape(packages)}); config digest `{facts.config_digest}`. Each picture was fetched "
        f"and decoded once, and shrunk to {facts.config['image_size']:,} px where its long side was longer."
    )


_LICENCE = """## Licence

The licence is `other` because there is no single one. This table is metadata: addresses, captions and scores. The
pictures behind the addresses, and the original captions, keep the licences and rights of their owners, which were not
checked; where the source states a licence of a picture, a column carries it. New captions also fall under the terms of
the captioner's licence, and the rows under those of the dataset they were read from.
"""
