"""`AuditFacts`: what is known about an audit when it starts."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from dataclasses import dataclass
from typing import Any

from beam_recap.audit.config import AuditConfig, AuditPlan
from beam_recap.audit.flags import AUDIT_FLAGS
from beam_recap.flag_values import as_text
from beam_recap.inputs.units import match_shards
from beam_recap.schemas import Provenance
from beam_recap.versions import installed_versions

_PROGRAM = "python -m pipelines.audit"
_PACKAGES = ("apache-beam", "numpy", "open_clip_torch", "pillow", "pyarrow", "rapidocr", "torch")
_PATHS_SHOWN = 100


@dataclass(frozen=True)
class AuditFacts:
    """Small and picklable: it travels to the worker that ends the audit."""

    output: str
    command: str  # the command line that gives this audit again
    flags: dict[str, Any]  # name -> JSON value, all flags
    input: dict[str, Any]  # its kind, and the list of its files
    models: dict[str, str | None]
    versions: dict[str, str]  # package -> version; what is not installed is left out
    font: str | None
    words_file: str | None
    is_demo_clip: bool
    started_at: float  # unix time, s

    @classmethod
    def of(cls, config: AuditConfig, plan: AuditPlan, provenance: Provenance) -> AuditFacts:
        """The facts of an audit that starts now. Raises `ShardError` if the input is gone."""
        ocr_engine = provenance.ocr_engine
        if plan.runs:
            engines = sorted({run.ocr_engine or "unknown" for run in plan.runs})
            ocr_engine = ", ".join(engines)
        return cls(
            output=config.recap.output,
            command=_command(config),
            flags=json.loads(json.dumps(dict(config.flags))),
            input=_describe_input(config, plan),
            models={"ocr_engine": ocr_engine, "clip_model": provenance.clip_model},
            versions=installed_versions(_PACKAGES),
            font=plan.font_name,
            words_file=config.words,
            is_demo_clip="clip_model" in config.recap.uses_demo_models,
            started_at=time.time(),
        )


def _describe_input(config: AuditConfig, plan: AuditPlan) -> dict[str, Any]:
    """The files in order, and a digest of their list."""
    if plan.runs:
        paths = [file.path for run in plan.runs for file in run.files]
    else:
        paths = [shard.path for shard in match_shards(config.recap.input)]
    digest = hashlib.sha256("".join(f"{path}\n" for path in paths).encode("utf-8", "surrogateescape"))
    return {
        "kind": "output of a run" if plan.runs else "shards",
        "patterns": list(config.recap.input),
        "rows": config.rows if plan.runs else "all",
        "files": len(paths),
        "sha256_of_the_list": digest.hexdigest(),
        "first_files": paths[:_PATHS_SHOWN],
    }


def _command(config: AuditConfig) -> str:
    """The program with every flag that differs from its default, as ``--flag=value``, quoted for a shell."""
    words = [_PROGRAM]
    for flag in AUDIT_FLAGS:
        value = config.flags[flag.name]
        if flag.default is None or value != flag.parse(flag.default):
            words.append(f"--{flag.name}={shlex.quote(as_text(value))}")
    return " ".join(words)
