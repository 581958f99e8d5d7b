"""`AuditConfig`: everything an audit is told, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_recap import files
from beam_recap.audit.draw_words import FontError, WordDrawer
from beam_recap.audit.flags import AUDIT_FLAGS
from beam_recap.audit.run_output import RunOutput, RunOutputError, find_run, is_run_output
from beam_recap.audit.words import WordsError, read_words
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError, read_flags
from beam_recap.flags import FLAGS as RECAP_FLAGS
from beam_recap.isolation import describe_error
from beam_recap.preflight import check_directory, check_input

BUCKETS = 1000  # of the rows, for the bootstrap
CLUSTER_BUCKETS = 100  # of the rows of one cluster


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """What to audit and how.

    Attributes:
      recap: the flags that are the main job's: input, pictures, CLIP; with OCR that reads everything.
      flags: the values of all flags, by name.
    """

    recap: RecapConfig
    flags: Mapping[str, Any]
    rows: str
    fuzzy_threshold: float
    resamples: int
    seed: int
    words: str | None
    max_words: int
    font: str | None

    @classmethod
    def from_flags(cls, given: Mapping[str, str]) -> AuditConfig:
        """Reads flag texts; what is missing has its default.

        Raises:
          ConfigError: a flag is unknown, missing, malformed, or at odds with another.
        """
        values = read_flags(AUDIT_FLAGS, given)
        for name, example in (("input", "PATTERN"), ("output", "DIR")):
            if name not in values:
                raise ConfigError(name, "", f"is required; write --{name}={example}")
        if values["clip_model"] is None and values["words"] is not None:
            raise ConfigError("words", values["words"], "needs a CLIP model to show them to; give --clip_model")
        if values["clip_model"] is None and values["font"] is not None:
            raise ConfigError("font", values["font"], "needs a CLIP model to show words to; give --clip_model")
        names = {flag.name for flag in RECAP_FLAGS}
        shared = {flag.name: given.get(flag.name, flag.default) for flag in AUDIT_FLAGS if flag.name in names}
        measured = {"preset": "recap", "captioner": "none", "ocr": "rapidocr", "max_ocr_boxes": "none"}
        recap = RecapConfig.from_flags({**shared, **measured})
        own = ("rows", "fuzzy_threshold", "resamples", "seed", "words", "max_words", "font")
        return cls(recap=recap, flags=values, **{name: values[name] for name in own})


@dataclass(frozen=True)
class AuditPlan:
    """What was found when the audit's input was looked at.

    Attributes:
      runs: outputs of runs; empty where shards are audited.
      words: of the user's file; None where they come from the captions.
      font_name: of what words are drawn in; None without a CLIP.
    """

    runs: tuple[RunOutput, ...]
    words: tuple[str, ...] | None
    font_name: str | None


def check_audit(config: AuditConfig) -> AuditPlan:
    """Looks at the input, the output and what else is named. Writes nothing.

    Raises:
      ConfigError: something cannot be used.
    """
    check_directory(config.recap.output)
    runs = _find_runs(config)
    if not runs:
        if config.rows != "kept":
            raise ConfigError("rows", config.rows, "is of the output of a run; shards are read whole: leave it out")
        check_input(config.recap)
    words, font_name = None, None
    if config.recap.clip_model is not None:
        try:
            font_name = WordDrawer(config.font).font_name
        except FontError as error:
            raise ConfigError("font", config.font or "none", str(error)) from None
        if config.words is not None:
            try:
                words = tuple(read_words(config.words, config.max_words))
            except WordsError as error:
                raise ConfigError("words", config.words, str(error)) from None
    return AuditPlan(runs, words, font_name)


def _find_runs(config: AuditConfig) -> tuple[RunOutput, ...]:
    found = []
    for pattern in config.recap.input:
        try:
            if is_run_output(pattern):
                found.append(find_run(pattern, rows=config.rows, caption_column=config.recap.caption_column))
        except RunOutputError as error:
            raise ConfigError("input", pattern, str(error)) from None
        except Exception as error:  # no such file system, no credentials, no network
            problem = f"cannot be listed ({describe_error(error)}); give files, or the directory of a run"
            raise ConfigError("input", pattern, problem) from error
    if found and len(found) < len(config.recap.input):
        problem = f"is the output of a run, and {config.recap.input} are not all; audit shards and runs apart"
        raise ConfigError("input", found[0].directory, problem)
    if found:
        _refuse_flags_of_shards(config)
    return tuple(found)


def _refuse_flags_of_shards(config: AuditConfig) -> None:
    for name in ("max_rows", "url_column", "verify_hash", "prefilter"):
        if value := config.flags[name]:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            raise ConfigError(name, shown, "is for shards; of a run every row is read: leave it out")


def audit_path(config: AuditConfig, name: str) -> str:
    """Where a file of the audit goes."""
    return files.join(config.recap.output, name)
