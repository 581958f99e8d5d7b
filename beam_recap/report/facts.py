"""`RunFacts`: what is known about a run when it starts."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

from beam_recap.config import FILES_OF, RecapConfig
from beam_recap.records import Stage
from beam_recap.report.command import command_line
from beam_recap.schemas import Provenance
from beam_recap.slices import Slice
from beam_recap.versions import installed_versions

_PACKAGES = (
    "apache-beam",
    "torch",
    "transformers",
    "open_clip_torch",
    "rapidocr",
    "pyarrow",
    "pillow",
)


@dataclass(frozen=True)
class RunFacts:
    """Small and picklable: it travels to the worker that ends the run."""

    output: str
    preset: str
    schema: str
    extra_columns: bool
    config: dict[str, Any]  # flag -> JSON value, all flags
    config_digest: str
    command: str  # the command line that gives this config
    provenance: Provenance
    attempt: int  # 1: the first run of this config in this output directory
    started_at: float  # unix time, s
    versions: dict[str, str]  # package -> version; what is not installed is left out
    stages: tuple[tuple[str, str], ...]  # (label in the graph, stage) of the stages that run, in order
    keep_checkpoint: bool
    model_files: dict[str, Any]  # flag of a model -> its files' fingerprint (None: none are known), or a list of them
    part: Slice | None = None  # of the input; None: all of it

    @classmethod
    def of(cls, config: RecapConfig, provenance: Provenance, attempt: int) -> RunFacts:
        """The facts of a run that starts now."""
        return cls(
            output=config.output,
            preset=config.preset,
            schema=config.schema,
            extra_columns=config.extra_columns,
            config=json.loads(json.dumps(dataclasses.asdict(config))),
            config_digest=config.digest(),
            command=command_line(config),
            provenance=provenance,
            attempt=attempt,
            started_at=time.time(),
            versions=installed_versions(_PACKAGES),
            stages=_stages(config),
            keep_checkpoint=config.keep_checkpoint,
            model_files=_model_files(config),
            part=config.part,
        )


def _model_files(config: RecapConfig) -> dict[str, Any]:
    identity = config.identity()
    return {name.removesuffix(FILES_OF): identity[name] for name in identity if name.endswith(FILES_OF)}


def _stages(config: RecapConfig) -> tuple[tuple[str, str], ...]:
    has_clip, has_captioner = config.clip_model is not None, config.makes_captions
    filters = {
        "clip": ("ScoreCLIP", Stage.CLIP, has_clip),
        "aesthetic": ("AestheticFilter", Stage.AESTHETIC, config.aesthetic_weights is not None),
        "ocr": ("OCRFilter", Stage.OCR, config.ocr is not None),
    }
    stages = (
        ("ReadShards", Stage.READ, True),
        ("FetchImage", Stage.FETCH, True),
        *(filters[name] for name in config.filter_order),
        ("CaptionImage", Stage.CAPTION, has_captioner),
        ("RescoreCaption", Stage.RESCORE, has_captioner and has_clip),
        ("ScoreMoreClips", Stage.MORE_CLIPS, bool(config.more_clip_models)),
        ("Curate", Stage.CURATE, config.curation is not None),
    )
    return tuple((label, str(stage)) for label, stage, runs in stages if runs)
