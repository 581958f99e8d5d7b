"""The main job: ``python -m pipelines.recap --runner=DirectRunner``."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.runners.runner import PipelineResult

from beam_recap import curation, files, run_directory
from beam_recap.clusters.model_folder import ClusterModelError
from beam_recap.command_line import given_flags
from beam_recap.config import RecapConfig
from beam_recap.demo import paths as demo
from beam_recap.flag import ConfigError
from beam_recap.google_access import check_access
from beam_recap.model_refs import ModelRefs
from beam_recap.options import format_help, parse_options
from beam_recap.preflight import check_run
from beam_recap.progress.display import Display
from beam_recap.progress.totals import SideCount
from beam_recap.report.facts import RunFacts
from pipelines.dataflow import gpu_hints, prepare_dataflow
from pipelines.local_runner import runs_in_processes
from pipelines.recap_stages import judge_of, stages_of
from pipelines.running import is_verbose, run_command, use_in_process_runner
from transforms.assign_cluster import AssignCluster
from transforms.checkpoint import Checkpoint, CheckpointedRows
from transforms.curate import Curate
from transforms.read_shards import ReadShards
from transforms.spread_rows import SpreadRows
from transforms.write_parquet import WriteParquet
from transforms.write_summary import WriteSummary

_LOG = logging.getLogger("beam_recap.run")
PROG = "python -m pipelines.recap"


class RecapOutputs(NamedTuple):
    """The graph's ends: `Sample`, `Rejection` by stage, `ShardStats`, and the summary (`dict`)."""

    kept: beam.PCollection
    rejected: dict[str, beam.PCollection]
    shards: beam.PCollection
    summary: beam.PCollection


def build_pipeline(
    root: beam.Pipeline, config: RecapConfig, *, attempt: int = 1, gpu_hints: Mapping[str, str] | None = None
) -> RecapOutputs:
    """Adds the whole job to a pipeline.

    Args:
      root: an empty pipeline.
      config: what to do. Its output directory belongs to it (`run_directory.claim`).
      attempt: the number of this run of the same config.
      gpu_hints: resource hints of the second pool's steps, where there are two pools of workers.
    """
    refs = ModelRefs.of(config)
    read = root | "ReadShards" >> ReadShards(
        _patterns(config),
        unit_rows=config.unit_rows,
        max_rows=config.max_rows,
        part=config.part,
        url_column=config.url_column,
        caption_column=config.caption_column,
        digest_column=config.verify_hash,
        prefilter=config.prefilter,
        max_image_bytes=config.fetch_max_bytes,
        output=config.output,
        retry=config.retry,
    )
    rows = read.kept
    rejected = {"Read": read.rejected}
    ends = {"Read": read.rejected}  # of the pool of workers that has the rows
    hints: dict[str, str] = {}
    written = []
    # From here to the checkpoint everything is one fused stage for each pool: pixels stay in memory.
    for label, stage in stages_of(config, refs):
        if label == "CaptionImage" and config.worker_pools == "split":
            written.append(_named(ends) | "CheckpointFiltered" >> Checkpoint(config.output, attempt))
            ends = {}
            hints = dict(gpu_hints or {})
            rows = rows | "SpreadRows" >> SpreadRows(hints, keep_pictures=config.writes_webdataset)
        rows, ends[label] = rows | label >> stage.with_resource_hints(**hints)
        rejected[label] = ends[label]
    if (judge := judge_of(config)) is not None:
        rows = rows | "RateCaptions" >> judge.with_resource_hints(**hints)
    checkpoint = Checkpoint(config.output, attempt, keep_pictures=config.writes_webdataset)
    last = checkpoint.with_resource_hints(**hints)
    written.append({"Kept": rows, **_named(ends)} | "Checkpoint" >> last)
    done = CheckpointedRows(read.units, written[0] if len(written) == 1 else written | "AllFiles" >> beam.Flatten())
    if config.curation is not None:
        done = done | "Curate" >> Curate(config.output, curation.folder_of(attempt, config.part), config.curation)
    final = done | "WriteParquet" >> WriteParquet(
        config.output,
        schema=config.schema,
        extra_columns=config.extra_columns,
        provenance=refs.provenance,
        rows_per_file=config.rows_per_file,
        part=config.part,
        curated=None if config.curation is None else curation.folder_of(attempt, config.part),
        save_embeddings=config.save_embeddings,
        webdataset=config.writes_webdataset,
        mix=config.mix,
    )
    summary = final | "WriteSummary" >> WriteSummary(RunFacts.of(config, refs.provenance, attempt))
    return RecapOutputs(rows, rejected, final.shards, summary)


def _named(rejected: Mapping[str, beam.PCollection]) -> dict[str, beam.PCollection]:
    return {f"RejectedBy{label}": rows for label, rows in rejected.items()}


def run(argv: Sequence[str], *, tells_end: bool = True) -> PipelineResult:
    """Checks the command line, the input, the output and the models, and runs the job to its end.

    Of a template, which is only written down, that is at once.

    Args:
      argv: the command line.
      tells_end: whether to say what came of it.

    Raises:
      ConfigError: something cannot be used; nothing was written.
    """
    options = parse_options(argv)
    check_access(given_flags(options))
    config = options.config()
    prepare_dataflow(options, config)
    shards = check_run(config)
    _warn(config)
    runs_here = use_in_process_runner(options)
    in_processes = runs_in_processes(options)
    with Display(in_processes=in_processes, draws=not is_verbose()) if runs_here else nullcontext() as display:
        # Held until the run is over, so that the stages find the models loaded. Worker processes load their own, and
        # those that ship with the project need no look.
        models = _load_models(config) if runs_here and not (in_processes and config.has_only_demo_models) else []
        if in_processes:
            models.clear()
        claim = run_directory.claim(config, shards)
        attempt = claim.attempt
        _LOG.info("Writing %s to %s (config %s, attempt %d).", config.preset, config.output, config.digest(), attempt)
        pipeline = beam.Pipeline(options=options)
        build_pipeline(pipeline, config, attempt=attempt, gpu_hints=gpu_hints(config))
        try:
            if display is not None:
                display.count_beside(SideCount(_patterns(config), config.part, config.output, attempt, config.retry))
            result = pipeline.run()
            result.wait_until_finish()
        finally:
            claim.release()
        del models
    if tells_end:
        _tell_end(config, attempt)
    return result


def _patterns(config: RecapConfig) -> tuple[str, ...]:
    return config.input or (str(demo.SHARD),)


def _tell_end(config: RecapConfig, attempt: int) -> None:
    path = files.join(config.output, "summary.json")
    summary = json.loads(files.read_bytes(path)) if files.exists(path) else None
    if summary is None or (config.part is None and summary["timings"]["attempt"] != attempt):
        return  # a job that was only written down
    from beam_recap.progress.funnel import say_end

    say_end(summary, config.output)


def _load_models(config: RecapConfig) -> list[object]:
    """Loads each stage's model before anything is written: weights that do not fit are a sentence, not a crash."""
    stages: dict[str, Any] = dict(stages_of(config, ModelRefs.of(config)))
    if (judge := judge_of(config)) is not None:
        stages["RateCaptions"] = judge
    models: dict[str, Any] = {}
    for label, flag in (
        ("ScoreCLIP", "clip_model"),
        ("AestheticFilter", "aesthetic_weights"),
        ("ScoreMoreClips", "more_clip_models"),
        ("CaptionImage", "captioner" if config.caption_endpoint is None else "caption_endpoint"),
        ("RateCaptions", "judge_endpoint"),
    ):
        if label not in stages:
            continue
        try:
            models[label] = stages[label].load()
            if label == "AestheticFilter":
                # A head belongs to one CLIP model: its width tells.
                clip = stages[label].load_clip() or models["ScoreCLIP"]
                models[label].score([np.ones(clip.embedding_dim(), np.float32)])
        except (ValueError, OSError) as error:
            problem = " ".join(str(error).split()).rstrip(".")
            value = getattr(config, flag)
            raise ConfigError(flag, value, problem.removeprefix(f"--{flag}={value}").lstrip(": ")) from error
    if config.clusters is not None:
        _check_clusters(config.clusters, models["ScoreCLIP"].embedding_dim())
    return list(models.values())


def _check_clusters(folder: str, width: int) -> None:
    try:
        model = AssignCluster(folder).load()
    except ClusterModelError as error:
        problem = f"{' '.join(str(error).split())}; give a folder that pipelines.cluster has written"
        raise ConfigError("clusters", folder, problem) from error
    if model.width != width:
        problem = f"is of embeddings of {model.width} numbers, and --clip_model's have {width}; give clusters of these"
        raise ConfigError("clusters", folder, problem)


def _warn(config: RecapConfig) -> None:
    """Says what a run on a user's own rows should know beforehand."""
    if not config.input:
        return
    if config.uses_demo_models:
        flags = ", ".join(f"--{name}" for name in config.uses_demo_models)
        _LOG.warning("The demonstration's tiny models know only coloured shapes; name real ones with %s.", flags)
    if config.near_duplicate_similarity is not None and config.clusters is None:
        _LOG.warning(
            "Near duplicates are looked for among all kept rows at once, in time that grows with their square; for "
            "more than some 100,000 rows give --clusters, or --near_duplicate_similarity=none."
        )


def main(argv: Sequence[str]) -> int:
    """The command; see `run_command`."""
    goes_on = "the same command goes on"
    return run_command(
        PROG,
        argv,
        run,
        format_help,
        if_interrupted=f"interrupted; {goes_on} where this run stopped",
        if_failed=f"; finished rows are kept, and {goes_on} from there",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
