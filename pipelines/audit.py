"""Tells how text-biased image-text rows are: ``python -m pipelines.audit --input=PATTERN --output=DIR``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult

from beam_recap import files
from beam_recap.audit.config import BUCKETS, CLUSTER_BUCKETS, AuditConfig, AuditPlan, audit_path, check_audit
from beam_recap.audit.facts import AuditFacts
from beam_recap.audit.options import format_help, parse_options
from beam_recap.audit.report import JSON_NAME, summary_lines
from beam_recap.audit.words import frequent_grams
from beam_recap.command_line import given_flags
from beam_recap.flag import ConfigError
from beam_recap.google_access import check_access
from beam_recap.inputs.formats import ShardError
from beam_recap.model_refs import ModelRefs
from pipelines.recap_stages import stages_of
from pipelines.running import run_command, use_in_process_runner
from transforms.observe_rows import ObservedRows, ObserveRejections, ObserveRows, ReadRunFiles
from transforms.read_shards import ReadShards
from transforms.score_clip import ClipModel
from transforms.score_words import ScoreWords
from transforms.tally_rows import TallyRows, TopExamples
from transforms.write_audit import WriteAudit

PROG = "python -m pipelines.audit"


def build_pipeline(root: beam.Pipeline, config: AuditConfig, plan: AuditPlan) -> beam.PCollection:
    """Adds the whole audit to a pipeline.

    Args:
      root: an empty pipeline.
      config: what to do.
      plan: what `check_audit` found.

    Returns:
      The audit (`dict`), once it is written.
    """
    refs = ModelRefs.of(config.recap)
    clip = _clip(config, refs)
    rows, examples = _read_runs(root, config, plan) if plan.runs else _look_at_pictures(root, config, refs)
    tallied = rows | "TallyRows" >> TallyRows(
        seed=config.seed,
        buckets=BUCKETS,
        cluster_buckets=CLUSTER_BUCKETS,
        sample_captions=clip is not None and plan.words is None,
    )
    scores = None
    if clip is not None:
        if plan.words is not None:
            words = root | "Words" >> beam.Create(plan.words, reshuffle=False)
        else:
            pick = beam.FlatMap(lambda sample, count: frequent_grams(sample.captions(), count), config.max_words)
            words = tallied.captions | "FrequentWords" >> pick.with_output_types(str)
        scores = words | "ScoreWords" >> ScoreWords(clip, font=config.font)
    facts = AuditFacts.of(config, plan, refs.provenance)
    return tallied | "WriteAudit" >> WriteAudit(facts, examples | "TopExamples" >> TopExamples(), scores)


Observed = tuple[dict[str, beam.PCollection], beam.PCollection]


def _look_at_pictures(root: beam.Pipeline, config: AuditConfig, refs: ModelRefs) -> Observed:
    """The main job's own stages, up to OCR: everything is read, nothing is filtered."""
    recap = config.recap
    read = root | "ReadShards" >> ReadShards(
        recap.input,
        unit_rows=recap.unit_rows,
        max_rows=recap.max_rows,
        url_column=recap.url_column,
        caption_column=recap.caption_column,
        digest_column=recap.verify_hash,
        prefilter=recap.prefilter,
        max_image_bytes=recap.fetch_max_bytes,
    )
    stages = dict(stages_of(recap, refs))
    rows, rejected = read.kept, {"Read": read.rejected}
    for label in ("FetchImage", "OCRFilter"):
        rows, rejected[label] = rows | label >> stages[label]
    observed: ObservedRows = rows | "ObserveRows" >> ObserveRows(config.fuzzy_threshold)
    problems = {
        f"RejectedBy{label}": rows | f"Observe{label}" >> ObserveRejections() for label, rows in rejected.items()
    }
    return {"Judged": observed.rows, **problems}, observed.examples


def _read_runs(root: beam.Pipeline, config: AuditConfig, plan: AuditPlan) -> Observed:
    run_files = [file for run in plan.runs for file in run.files]
    observed: ObservedRows = root | "ReadRunFiles" >> ReadRunFiles(run_files, config.fuzzy_threshold)
    return {"Rows": observed.rows}, observed.examples


def _clip(config: AuditConfig, refs: ModelRefs) -> ClipModel | None:
    if refs.clip is None:
        return None
    return ClipModel(refs.clip, refs.clip_pretrained, config.recap.device, config.recap.clip_batch_size)


def run(argv: Sequence[str]) -> PipelineResult:
    """Checks the command line, the input, the output and the models, and runs the audit.

    Raises:
      ConfigError: something cannot be used; nothing was written.
    """
    options = parse_options(argv)
    check_access(given_flags(options))
    config = options.config()
    plan = check_audit(config)
    runs_here = use_in_process_runner(options)
    model = _load_clip(config) if runs_here else None  # held, so that the stage finds it loaded
    pipeline = beam.Pipeline(options=options)
    try:
        build_pipeline(pipeline, config, plan)
    except ShardError as error:
        raise ConfigError("input", ",".join(config.recap.input), f"{error}; {error.remedy}") from None
    result = pipeline.run()
    del model
    if runs_here:  # then the run is over by now
        audit = json.loads(files.read_bytes(audit_path(config, JSON_NAME)))
        print("\n".join(summary_lines(audit, config.recap.output)))
    return result


def _load_clip(config: AuditConfig) -> object | None:
    """Weights that do not fit are a sentence, not a crash."""
    clip = _clip(config, ModelRefs.of(config.recap))
    if clip is None:
        return None
    try:
        return clip.load()
    except (ValueError, OSError) as error:
        problem, value = " ".join(str(error).split()).rstrip("."), config.recap.clip_model
        raise ConfigError("clip_model", value, problem.removeprefix(f"--clip_model={value}").lstrip(": ")) from error


def main(argv: Sequence[str]) -> int:
    """The command; see `run_command`."""
    return run_command(
        PROG,
        argv,
        lambda words: run(words).wait_until_finish(),
        format_help,
        if_interrupted="interrupted; nothing was written",
        if_failed="; nothing was written",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
