"""The Flex Template's metadata: every flag as a parameter that Dataflow checks before it launches a job.

``python -m beam_recap.flex_template > dockerfiles/recap.metadata.json`` writes it anew. Keys and types are those of
Dataflow's API v1b3 (TemplateMetadata, ParameterMetadata, ParameterType). What a template does not declare, it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap.flag import PRESET_VALUE, Flag
from beam_recap.flag_values import Kind, Reader, choice, form_of, integer, matching, text
from beam_recap.flags import FLAGS

# Workers elsewhere see no files of anyone's disk, so that here both are needed and lie in a bucket.
_GCS = {
    "input": r"[ ,]*gs://[^,\r\n]+(,[ ,]*(gs://[^,\r\n]+)?)*",
    "output": r"gs://[^\r\n]+",
}
_IMAGE = matching(r"[a-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9_./-]+(:[A-Za-z0-9_.-]+)?(@sha256:[0-9a-f]{64})?", "is no image")
_LISTED = matching(r"[^\s,]+(,[^\s,]+)*", "has an empty part")
GROUP_TITLES = {
    "rows": "Rows",
    "fetch": "Downloads",
    "image": "Pictures",
    "score": "CLIP and aesthetic scores",
    "ocr": "Visible text",
    "caption": "Captions",
    "judge": "Ratings of captions",
    "curate": "Clusters and duplicates",
    "output": "Further outputs",
    "workers": "Workers",
    "models": "Models",
    "resume": "Resuming",
    "messages": "Messages",
}
_ACRONYMS = {name: name.upper() for name in ("ocr", "gpu", "url", "tls", "clip", "sdk", "gb")} | {
    "s": "(seconds)",
    "robots": "robots.txt",
    "txt": "",
}


@dataclass(frozen=True, slots=True)
class BeamOption:
    """One of Beam's own options; `read` is the check that a template makes of it."""

    name: str
    read: Reader[Any]
    help: str
    is_optional: bool = True


# What gcloud's own flags do not say. Those of Beam that take no value cannot be parameters, which always have one.
BEAM_OPTIONS: tuple[BeamOption, ...] = (
    BeamOption(
        "sdk_container_image",
        _IMAGE,
        "Image of the workers: the one that the template was built from.",
        is_optional=False,
    ),
    BeamOption("disk_size_gb", integer(0, 65536), "Disk of a worker, in GB; room for the image and the models."),
    BeamOption(
        "worker_disk_type",
        matching(r"compute\.googleapis\.com/projects/[^/\s]*/zones/[^/\s]*/diskTypes/[a-z0-9-]+", "is no disk type"),
        "Type of a worker's disk, such as compute.googleapis.com/projects//zones//diskTypes/pd-ssd.",
    ),
    BeamOption(
        "number_of_worker_harness_threads",
        integer(1, 1000),
        "Threads of a worker process. More of them hold more pictures in memory at once.",
    ),
    BeamOption(
        "autoscaling_algorithm",
        choice("THROUGHPUT_BASED", "NONE"),
        "THROUGHPUT_BASED: as many workers as the work keeps busy, up to the maximum; NONE: a fixed number.",
    ),
    BeamOption(
        "default_sdk_harness_log_level",
        choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "Least severe messages of the workers that are logged.",
    ),
    BeamOption(
        "dataflow_service_options",
        _LISTED,
        "Options of the Dataflow service, separated by commas. For GPUs give gpu_accelerator instead of "
        "worker_accelerator.",
    ),
    BeamOption("experiments", _LISTED, "Experiments of Beam and Dataflow, separated by commas."),
)


def template_metadata() -> dict[str, Any]:
    """The metadata, as the JSON that ``gcloud dataflow flex-template build --metadata-file`` reads."""
    return {
        "name": "beam-recap",
        "description": "Turns shards of noisy web image-text rows into a filtered, scored, re-captioned dataset.",
        "streaming": False,
        "parameters": [*map(_of_flag, FLAGS), *map(_of_beam_option, BEAM_OPTIONS)],
    }


def _of_flag(flag: Flag) -> dict[str, Any]:
    default = None if flag.default == PRESET_VALUE else flag.default
    help_text = flag.help + (" Default: by preset." if flag.default == PRESET_VALUE else "")
    if flag.name == "preset":
        default = "recap"  # the demonstration's default is another, and does not run here
    parameter = {
        "name": flag.name,
        "label": _label(flag.name),
        "helpText": help_text,
        "groupName": GROUP_TITLES.get(flag.group, flag.group.capitalize()),
        "isOptional": flag.name not in _GCS,
        "regexes": [_whole(form_of(flag.parse)), *([_whole(_GCS[flag.name])] if flag.name in _GCS else [])],
        **_type(flag.parse if isinstance(flag.parse, Reader) else text, default),
    }
    if flag.name == "output":
        parameter["paramType"] = "GCS_WRITE_FOLDER"
    return parameter


def _of_beam_option(option: BeamOption) -> dict[str, Any]:
    return {
        "name": option.name,
        "label": _label(option.name),
        "helpText": option.help,
        "groupName": "Dataflow",
        "isOptional": option.is_optional,
        "regexes": [_whole(option.read.form)],
        **_type(option.read, None),
    }


def _type(read: Reader[Any], default: str | None) -> dict[str, Any]:
    """The type, its choices and its default.

    Google Cloud's console fills in a default of the type (false, say) where there is none, which would override what a
    preset says. What has no default is therefore a text.
    """
    if default is None or read.kind is Kind.TEXT:
        kind: dict[str, Any] = {"paramType": "TEXT"}
    elif read.kind is Kind.CHOICE:
        kind = {"paramType": "ENUM", "enumOptions": [{"value": value, "label": value} for value in read.choices]}
    else:
        kind = {"paramType": read.kind.name}
    return kind if default is None else {**kind, "defaultValue": default}


def _whole(form: str) -> str:
    return f"^(?:{form})$"  # some look for it anywhere


def _label(name: str) -> str:
    words = " ".join(_ACRONYMS.get(word, word) for word in name.split("_")).split()
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def main(argv: Sequence[str] = ()) -> int:
    """Prints the metadata."""
    print(json.dumps(template_metadata(), indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    main()
