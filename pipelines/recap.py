"""The main job: ``python -m pipelines.recap --runner=DirectRunner``."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from beam_recap import checkpoint, files
from beam_recap.config import RecapConfig
from beam_recap.demo import paths as demo
from beam_recap.fetch import FetchSettings
from beam_recap.flag import ConfigError
from beam_recap.images import DecodeSettings
from beam_recap.isolation import describe_error
from beam_recap.logs import log_plainly
from beam_recap.model_refs import ModelRefs, ocr_settings
from beam_recap.models.endpoint_settings import EndpointSettings
from beam_recap.options import format_help, parse_options
from beam_recap.preflight import check_run
from beam_recap.report.facts import RunFacts
from transforms.aesthetic_filter import AestheticFilter
from transforms.caption_image import CaptionImage, CaptionModel
from transforms.checkpoint import Checkpoint
from transforms.fetch_image import FetchImage
from transforms.ocr_filter import OCRFilter
from transforms.rate_captions import RateCaptions
from transforms.read_shards import ReadShards
from transforms.rescore_caption import RescoreCaption
from transforms.score_clip import ClipModel, ScoreCLIP
from transforms.write_parquet import CheckpointedRows, WriteParquet
from transforms.write_summary import WriteSummary

_LOG = logging.getLogger("beam_recap.run")
PROG = "python -m pipelines.recap"


class RecapOutputs(NamedTuple):
    """The graph's ends: `Sample`, `Rejection` by stage, `ShardStats`, and the summary (`dict`)."""

    kept: beam.PCollection
    rejected: dict[str, beam.PCollection]
    shards: beam.PCollection
    summary: beam.PCollection


def build_pipeline(root: beam.Pipeline, config: RecapConfig, *, attempt: int = 1) -> RecapOutputs:
    """Adds the whole job to a pipeline.

    Args:
      root: an empty pipeline.
      config: what to do. Its output directory belongs to it (`checkpoint.claim`).
      attempt: the number of this run of the same config.
    """
    refs = ModelRefs.of(config)
    read = root | "ReadShards" >> ReadShards(
        config.input or (str(demo.SHARD),),
        unit_rows=config.unit_rows,
        max_rows=config.max_rows,
        url_column=config.url_column,
        caption_column=config.caption_column,
        digest_column=config.verify_hash,
        max_image_bytes=config.fetch_max_bytes,
        output=config.output,
        retry=config.retry,
    )
    rejected = {"Read": read.rejected}
    rows = read.kept
    # From here to the checkpoint everything is one fused stage: pixels stay in memory.
    for label, stage in _stages(config, refs):
        rows, rejected[label] = rows | label >> stage
    if (judge := _judge(config)) is not None:
        rows = rows | "RateCaptions" >> judge
    written = {"Kept": rows, **{f"RejectedBy{label}": rows for label, rows in rejected.items()}} | (
        "Checkpoint" >> Checkpoint(config.output, attempt)
    )
    final = CheckpointedRows(read.units, written) | "WriteParquet" >> WriteParquet(
        config.output,
        preset=config.preset,
        extra_columns=config.extra_columns,
        provenance=refs.provenance,
        rows_per_file=config.rows_per_file,
    )
    summary = final | "WriteSummary" >> WriteSummary(RunFacts.of(config, refs.provenance, attempt))
    return RecapOutputs(rows, rejected, final.shards, summary)


def _stages(config: RecapConfig, refs: ModelRefs) -> list[tuple[str, beam.PTransform]]:
    """The stages that the config asks for, cheap before dear."""
    fetch = FetchSettings(
        concurrency=config.fetch_concurrency,
        connections_per_host=config.connections_per_host,
        host_requests_per_s=config.host_requests_per_s,
        timeout_s=config.fetch_timeout_s,
        connect_timeout_s=config.fetch_connect_timeout_s,
        retries=config.fetch_retries,
        max_bytes=config.fetch_max_bytes,
        max_redirects=config.fetch_max_redirects,
        ports=config.fetch_ports,
        allow_private_hosts=config.allow_private_hosts,
        allow_local_files=config.allow_local_files,
        verify_tls=config.verify_tls,
        agent=config.user_agent_token,
        contact=config.contact,
        opt_out_directives=config.disallowed_header_directives,
        obey_robots_txt=config.robots_txt == "obey",
        ahead_rows=config.fetch_ahead_rows,
        ahead_bytes=config.fetch_ahead_bytes,
    )
    decode = DecodeSettings(
        image_size=config.image_size,
        resize_mode=config.resize_mode,
        resize_only_if_bigger=config.resize_only_if_bigger,
        formats=config.image_formats,
        max_pixels=config.max_pixels,
        min_image_size=config.min_image_size,
        max_image_area=config.max_image_area,
        max_aspect_ratio=config.max_aspect_ratio,
        read_exif=config.extra_columns,
    )
    stages: list[tuple[str, beam.PTransform]] = [("FetchImage", FetchImage(fetch, decode))]
    clip = None
    if refs.clip is not None:
        clip = ClipModel(refs.clip, refs.clip_pretrained, config.device, config.clip_batch_size)
        stages.append(("ScoreCLIP", ScoreCLIP(clip, min_score=config.min_clip_score)))
    if refs.aesthetic_head is not None:
        head = AestheticFilter(refs.aesthetic_head, min_score=config.min_aesthetic_score)
        stages.append(("AestheticFilter", head))
    if config.ocr is not None:
        stages.append(("OCRFilter", OCRFilter(ocr_settings(config), max_boxes=config.max_ocr_boxes)))
    if config.makes_captions:
        captioner = CaptionModel(
            refs.captioner,
            endpoint=_caption_endpoint(config),
            prompt=config.caption_prompt,
            hint=config.caption_hint,
            max_new_tokens=config.caption_max_new_tokens,
            engine=config.caption_engine,
            batch_size=config.caption_batch_size,
            quantization=config.caption_quantization,
            device=config.device,
            dtype=config.dtype,
            copies=config.captioner_copies,
        )
        stages.append(("CaptionImage", CaptionImage(captioner, config.reject_captions)))
        if clip is not None:
            stages.append(("RescoreCaption", RescoreCaption(clip)))
    return stages


def run(argv: Sequence[str]) -> PipelineResult:
    """Checks the command line, the input, the output and the models, and runs the job.

    Raises:
      ConfigError: something cannot be used; nothing was written.
    """
    options = parse_options(argv)
    config = options.config()
    check_run(config)
    _warn_of_demo_models(config)
    runs_here = _use_in_process_runner(options)
    # Held until the run is over, so that the stages find the models loaded.
    models = _load_models(config) if runs_here else []
    attempt = checkpoint.claim(config)
    _LOG.info("Writing %s to %s (config %s, attempt %d).", config.preset, config.output, config.digest(), attempt)
    pipeline = beam.Pipeline(options=options)
    build_pipeline(pipeline, config, attempt=attempt)
    result = pipeline.run()
    del models
    if runs_here:  # then the run is over by now
        counts = json.loads(files.read_bytes(files.join(config.output, "summary.json")))["counts"]
        _LOG.info(
            "Done: %d rows, %d kept, %d rejected. See %s.",
            counts["rows"],
            counts["kept"],
            counts["rejected"],
            files.join(config.output, "report.html"),
        )
    return result


def _use_in_process_runner(options: PipelineOptions) -> bool:
    """Runs DirectRunner as FnApiRunner, the in-process engine that users expect; says whether the run is local.

    Beam 2.77's DirectRunner may download and start another engine first, and which one it takes depends on the graph.
    """
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = "FnApiRunner"
    return standard.runner == "FnApiRunner"


def _caption_endpoint(config: RecapConfig) -> EndpointSettings | None:
    if config.caption_endpoint is None or config.caption_endpoint_model is None:
        return None
    return EndpointSettings(
        config.caption_endpoint,
        config.caption_endpoint_model,
        config.caption_endpoint_key,
        config.caption_endpoint_requests,
    )


def _judge(config: RecapConfig) -> RateCaptions | None:
    if config.judge_endpoint is None or config.judge_endpoint_model is None:
        return None
    endpoint = EndpointSettings(config.judge_endpoint, config.judge_endpoint_model, config.judge_endpoint_key)
    return RateCaptions(endpoint, config.judge_sample)


def _load_models(config: RecapConfig) -> list[object]:
    """Loads each stage's model before anything is written: weights that do not fit are a sentence, not a crash."""
    stages: dict[str, Any] = dict(_stages(config, ModelRefs.of(config)))
    if (judge := _judge(config)) is not None:
        stages["RateCaptions"] = judge
    models: dict[str, Any] = {}
    for label, flag in (
        ("ScoreCLIP", "clip_model"),
        ("AestheticFilter", "aesthetic_weights"),
        ("CaptionImage", "captioner" if config.caption_endpoint is None else "caption_endpoint"),
        ("RateCaptions", "judge_endpoint"),
    ):
        if label not in stages:
            continue
        try:
            models[label] = stages[label].load()
            if label == "AestheticFilter":
                # A head belongs to one CLIP model: its width tells.
                models[label].score([np.ones(models["ScoreCLIP"].embedding_dim(), np.float32)])
        except (ValueError, OSError) as error:
            problem = " ".join(str(error).split()).rstrip(".")
            value = getattr(config, flag)
            raise ConfigError(flag, value, problem.removeprefix(f"--{flag}={value}").lstrip(": ")) from error
    return list(models.values())


def _warn_of_demo_models(config: RecapConfig) -> None:
    if config.input and config.uses_demo_models:
        flags = ", ".join(f"--{name}" for name in config.uses_demo_models)
        _LOG.warning("The demonstration's tiny models know only coloured shapes; name real ones with %s.", flags)


def main(argv: Sequence[str]) -> int:
    """The command. Exit status 0: done; 1: failed; 2: cannot be used so; 130: interrupted."""
    if "--help" in argv or "-h" in argv:
        print(format_help(PROG))
        return 0
    log_plainly()
    # Threads that spin while they wait cost more than they gain where cores are shared. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        result = run(argv)
        result.wait_until_finish()
    except ConfigError as error:
        _say(str(error))
        return 2
    except (Exception, KeyboardInterrupt) as error:
        # Beam's in-process engine wraps an interrupt into a RuntimeError.
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            _say("interrupted; the same command goes on where this run stopped")
            _leave(130)
        traceback.print_exc()
        _say(f"failed ({describe_error(error)}); finished rows are kept, and the same command goes on from there")
        return 1
    return 0


def _say(text: str) -> None:
    print(f"{PROG}: {text}", file=sys.stderr)


def _leave(status: int) -> NoReturn:
    """Ends the process now: a thread that still waits for a slow host or a model must not hold it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
