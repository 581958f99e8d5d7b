"""Closes a run: checks that every row has one outcome, then writes what programs and people read."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap import checkpoint, files
from beam_recap.assemble import AccountingError, OutputShard, ShardStats
from beam_recap.config import RecapConfig
from beam_recap.records import Stage
from beam_recap.report.card import dataset_card
from beam_recap.report.command import command_line
from beam_recap.report.page import report_page
from beam_recap.report.summary import build_summary
from beam_recap.schemas import Provenance, kept_columns, kept_schema

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
    """What is known about a run when it starts. Small and picklable: it travels to the worker that ends the run."""

    output: str
    preset: str
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

    @classmethod
    def of(cls, config: RecapConfig, provenance: Provenance, attempt: int) -> RunFacts:
        """The facts of a run that starts now."""
        return cls(
            output=config.output,
            preset=config.preset,
            extra_columns=config.extra_columns,
            config=json.loads(json.dumps(dataclasses.asdict(config))),
            config_digest=config.digest(),
            command=command_line(config),
            provenance=provenance,
            attempt=attempt,
            started_at=time.time(),
            versions=_versions(),
            stages=_stages(config),
            keep_checkpoint=config.keep_checkpoint,
        )


def _versions() -> dict[str, str]:
    """Versions from the packages' metadata; importing torch only to ask for its version would take seconds."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _stages(config: RecapConfig) -> tuple[tuple[str, str], ...]:
    has_clip, has_captioner = config.clip_model is not None, config.captioner is not None
    stages = (
        ("ReadShards", Stage.READ, True),
        ("FetchImage", Stage.FETCH, True),
        ("ScoreCLIP", Stage.CLIP, has_clip),
        ("AestheticFilter", Stage.AESTHETIC, config.aesthetic_weights is not None),
        ("OCRFilter", Stage.OCR, config.ocr is not None),
        ("CaptionImage", Stage.CAPTION, has_captioner),
        ("RescoreCaption", Stage.RESCORE, has_captioner and has_clip),
    )
    return tuple((label, str(stage)) for label, stage, runs in stages if runs)


def write_reports(facts: RunFacts, stats: Sequence[ShardStats]) -> dict[str, Any]:
    """Writes ``README.md``, ``report.html`` and, last, ``summary.json``: where that is, the run is complete.

    The checkpoint is removed after that, unless the run keeps it. Safe to repeat: nothing here reads the checkpoint.

    Returns:
      The summary.

    Raises:
      AccountingError: rows are not kept + rejected, or an output shard is missing. Nothing was written.
    """
    ordered = sorted(stats, key=lambda shard: shard.number)
    _check(ordered)
    summary = build_summary(facts, ordered, finished_at=time.time())
    schema = kept_schema(kept_columns(facts.preset, facts.extra_columns, facts.provenance))
    card = dataset_card(facts, summary, schema, ordered)
    page = report_page(facts, summary, [outcome for shard in ordered for outcome in shard.examples])
    for name, text in (
        ("README.md", card),
        ("report.html", page),
        ("summary.json", json.dumps(summary, indent=1) + "\n"),
    ):
        # A flag's value may hold bytes of the shell that are no text; they must not lose the report.
        files.write_bytes(files.join(facts.output, name), text.encode("utf-8", errors="replace"))
    if not facts.keep_checkpoint:
        _remove_checkpoint(facts.output)
    return summary


def _check(stats: Sequence[ShardStats]) -> None:
    for number, shard in enumerate(stats):
        expected = OutputShard(number, len(stats), ())
        names = tuple(file.name for file in shard.files)
        if shard.number != number or names != (expected.kept_name, expected.rejected_name):
            found = [other.number for other in stats]
            raise AccountingError(
                f"{len(stats)} output shards are numbered {found}, and shard {shard.number} is {names[0]}: "
                f"not {expected.kept_name}"
            )
        rejected = shard.rejected.total()
        if shard.rows != shard.kept + rejected:
            raise AccountingError(
                f"output shard {number}: {shard.rows} rows are not {shard.kept} kept + {rejected} rejected"
            )
        written = tuple(file.rows for file in shard.files)
        if written != (shard.kept, rejected):
            raise AccountingError(
                f"output shard {number}: {shard.kept} kept and {rejected} rejected rows, "
                f"but its files hold {written[0]} and {written[1]}"
            )


def _remove_checkpoint(output: str) -> None:
    directory = files.join(output, checkpoint.DIRECTORY)
    if "://" not in directory:
        # Beam would read a bracket or a star in the path as a pattern.
        shutil.rmtree(directory, ignore_errors=True)
        return
    # run.json goes last: what is left of a removal that broke off still says whose it is. The slash makes Beam's object
    # stores remove everything under a name, in batches.
    files.delete([files.join(directory, "outcomes") + "/", files.join(directory, "run.json")])
