"""Every flag of the command line: its name, its check, its default and its help, in one table.

:class:`beam_recap.options.RecapOptions` declares them to Beam, :class:`beam_recap.config.RecapConfig` holds their
values. Each takes a value (``--flag=value``), because a Dataflow Flex Template passes them so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beam_recap.prompts import RECAP_MAX_NEW_TOKENS, RECAP_PROMPT

DEMO = "demo"  # the models and the shard that ship with the project
PRESET_VALUE = "(preset)"  # the default comes from the preset
PRESETS = ("recap", "text-debiased", "recap-debiased")


class ConfigError(ValueError):
    """A flag that cannot be used: one sentence that names the flag, its value and the remedy."""

    def __init__(self, flag: str, value: object, problem: str):
        super().__init__(f"--{flag}={value}: {problem}")


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    ``parse`` turns the text into a value or raises `ValueError` with what is wrong and what to do. ``decides_outcome``
    marks what belongs to a run's identity: another value could end a row differently.
    """

    name: str
    group: str
    default: str | None
    parse: Callable[[str], Any]
    help: str
    decides_outcome: bool = True


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; give a value or leave the flag out")
    return value


def _patterns(value: str) -> tuple[str, ...]:
    patterns = tuple(p.strip() for p in value.split(",") if p.strip())
    if not patterns:
        raise ValueError("names no file; give paths or globs separated by commas")
    return patterns


def _boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false; give one of them")
    return value.lower() == "true"


def _choice(*names: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in names:
            raise ValueError(f"is unknown; give one of {', '.join(names)}")
        return value

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"is not a whole number; give one from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"is out of range; give a whole number from {low} to {high}")
        return number

    return parse


def _number(low: float, high: float, scale: str) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"is not a number; {scale}") from None
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError(f"is out of range; {scale}")
        return number

    return parse


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: None if value.lower() == "none" else parse(value)


_COSINE = _number(-1, 1, "a CLIP score is a cosine in [-1, 1]: give 0.3 for the usual threshold, or none")
_AESTHETIC = _number(
    1, 10, "aesthetic scores are on the V2 scale of 1 to 10: give 4.5 for the usual threshold, or none"
)

FLAGS: tuple[Flag, ...] = (
    Flag(
        "input",
        "rows",
        None,
        _patterns,
        "Shards: paths or globs, separated by commas, local or gs://. Parquet files of URLs, or webdataset tars of "
        "images. Without it, the embedded demonstration runs.",
    ),
    Flag(
        "output",
        "rows",
        None,
        _text,
        "Directory for the dataset, local or gs://; required with --input (the demonstration writes to beam-recap-"
        "demo).",
        False,
    ),
    Flag(
        "preset",
        "rows",
        None,
        _choice(*PRESETS),
        "recap: caption every image (default with --input). text-debiased: CLIP > 0.3, aesthetic > 4.5, no visible "
        "text; no captions. recap-debiased: those filters, then captions (default of the demonstration).",
    ),
    Flag(
        "max_rows",
        "rows",
        "none",
        _or_none(_integer(1, 10**12)),
        "Stop after this many rows of the input, in its order; none: all.",
    ),
    Flag("url_column", "rows", "none", _or_none(_text), "Column of image URLs, where it is not url or URL."),
    Flag(
        "caption_column",
        "rows",
        "none",
        _or_none(_text),
        "Column of captions, where it is not org_caption, caption, text or TEXT.",
    ),
    Flag("unit_rows", "rows", "2000", _integer(1, 1_000_000), "Rows per unit of work and of checkpointing."),
    Flag("rows_per_file", "rows", "100000", _integer(1, 100_000_000), "Input rows per output file."),
    Flag(
        "extra_columns",
        "rows",
        "false",
        _boolean,
        "Also write what the published schema lacks: uid, sizes, OCR text, token counts, model names.",
    ),
    Flag("fetch_concurrency", "fetch", "64", _integer(1, 4096), "Downloads in flight per worker process.", False),
    Flag(
        "fetch_timeout_s",
        "fetch",
        "20",
        _number(0.1, 3600, "give seconds from 0.1 to 3600"),
        "Deadline per picture, in seconds, redirects and retries included.",
        False,
    ),
    Flag(
        "fetch_retries",
        "fetch",
        "2",
        _integer(0, 20),
        "Further tries after a failure that may pass (DNS, connection, 429, 5xx).",
        False,
    ),
    Flag("fetch_max_bytes", "fetch", str(20 * 2**20), _integer(1024, 2**31), "Largest encoded picture, in bytes."),
    Flag(
        "allow_private_hosts",
        "fetch",
        "false",
        _boolean,
        "Also fetch from private and loopback addresses (tests, intranets).",
    ),
    Flag("verify_tls", "fetch", "true", _boolean, "Check HTTPS certificates."),
    Flag(
        "image_size",
        "fetch",
        "1536",
        _integer(64, 8192),
        "Long side, in px, to which pictures are shrunk before any model sees them; never enlarged.",
    ),
    Flag(
        "max_pixels", "fetch", "50000000", _integer(1024, 10**9), "Largest picture, in pixels; checked before decoding."
    ),
    Flag("min_image_side", "fetch", "32", _integer(1, 8192), "Smallest short side, in px."),
    Flag(
        "max_aspect_ratio",
        "fetch",
        "none",
        _or_none(_number(1, 1000, "give long side / short side, from 1 to 1000, or none")),
        "Largest long side / short side; none: any.",
    ),
    Flag(
        "clip_model",
        "score",
        DEMO,
        _or_none(_text),
        "open_clip model name (with --clip_pretrained), a folder in open_clip's layout, demo, or none.",
    ),
    Flag(
        "clip_pretrained",
        "score",
        "none",
        _or_none(_text),
        "open_clip weights tag, for example openai or laion2b_s32b_b82k.",
    ),
    Flag(
        "min_clip_score",
        "score",
        PRESET_VALUE,
        _or_none(_COSINE),
        "Keep rows whose image-caption cosine is greater; none: keep all.",
    ),
    Flag("clip_batch_size", "score", "32", _integer(1, 4096), "Images per CLIP batch.", False),
    Flag(
        "aesthetic_weights",
        "score",
        PRESET_VALUE,
        _or_none(_text),
        "Aesthetic head: path of sac+logos+ava1-l14-linearMSE.pth or the same as .safetensors, demo, or none.",
    ),
    Flag(
        "min_aesthetic_score",
        "score",
        PRESET_VALUE,
        _or_none(_AESTHETIC),
        "Keep rows whose aesthetic score (V2 scale, 1 to 10) is greater; none: keep all.",
    ),
    Flag("ocr", "ocr", PRESET_VALUE, _or_none(_choice("rapidocr")), "Text spotter: rapidocr or none."),
    Flag(
        "max_ocr_boxes",
        "ocr",
        "0",
        _or_none(_integer(0, 64)),
        "Keep rows with at most this many text boxes (0: no visible text); none: measure, keep all.",
    ),
    Flag(
        "captioner",
        "caption",
        PRESET_VALUE,
        _or_none(_text),
        "LLaVA-1.5 checkpoint in Hugging Face form: a folder, ID@REVISION, demo, or none.",
    ),
    Flag("caption_prompt", "caption", RECAP_PROMPT, _text, "What the captioner is asked."),
    Flag(
        "caption_max_new_tokens", "caption", str(RECAP_MAX_NEW_TOKENS), _integer(1, 4096), "Longest caption, in tokens."
    ),
    Flag("caption_batch_size", "caption", "16", _integer(1, 1024), "Images per caption batch.", False),
    Flag("device", "models", "auto", _text, "auto, cpu, cuda or cuda:N.", False),
    Flag(
        "dtype",
        "models",
        "auto",
        _choice("auto", "float32", "bfloat16", "float16"),
        "Precision of the captioner; auto: bfloat16 on a GPU, float32 on a CPU.",
    ),
    Flag(
        "retry",
        "resume",
        "none",
        _choice("none", "transient", "all"),
        "Re-open rejected rows of an earlier run: those that may pass now, or all.",
        False,
    ),
    Flag("keep_checkpoint", "resume", "true", _boolean, "Keep OUTPUT/_checkpoint after success.", False),
)
