"""Tells what a job will take, without running it: ``python -m pipelines.plan --input=PATTERN --output=DIR``."""

from __future__ import annotations

import functools
import json
import logging
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apache_beam.metrics import MetricsFilter

from beam_recap import ending, files
from beam_recap.demo import paths as demo
from beam_recap.flag import ConfigError
from beam_recap.inputs.formats import ShardError
from beam_recap.inputs.units import match_shards, unit_size
from beam_recap.isolation import describe_error
from beam_recap.model_refs import ModelRefs
from beam_recap.plan import earlier_run, sample_run
from beam_recap.plan.captioner_speed import GPUS, LLAVA_LLAMA3_8B, ModelSize, model_size
from beam_recap.plan.config import PlanConfig, flag_values
from beam_recap.plan.estimate import Assumptions, Estimator
from beam_recap.plan.facts import Job, plan_facts
from beam_recap.plan.measurement import Measurement
from beam_recap.plan.options import format_help, parse_options
from beam_recap.plan.report import text_of
from beam_recap.plan.row_count import RowCount, count_rows
from beam_recap.plan.row_sample import Place, RowSample, choose_rows
from beam_recap.plan.sample_files import write_sample
from beam_recap.report.command import command_line
from pipelines import recap
from pipelines.running import run_command
from transforms.checkpoint import FLUSH_ROWS
from transforms.fetch_image import NAMESPACE as FETCH

_LOG = logging.getLogger("beam_recap.plan")
PROG = "python -m pipelines.plan"

# Rows of each of two short runs: what a cold start and a warm one take, beside the long one's.
_SHORT_ROWS, _SHORT_SHARE = 8, 1 / 8


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Checks the command line, runs the sample, and prints the plan.

    Returns:
      The plan as JSON values.

    Raises:
      ConfigError: something cannot be used.
    """
    config = parse_options(argv).config()
    config.check()
    facts = _plan_summary(config) if config.from_summary is not None else _plan_sample(config)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    print(text if config.format == "json" else text_of(facts))
    if config.json is not None:
        try:
            files.write_bytes(config.json, f"{text}\n".encode())
        except OSError as error:
            raise ConfigError(
                "json", config.json, f"cannot be written ({describe_error(error)}); give another file"
            ) from None
    return facts


def _plan_sample(config: PlanConfig) -> dict[str, Any]:
    job = config.recap
    assert job is not None
    count = _count(config, job.input or (str(demo.SHARD),), job.max_rows)
    sample = choose_rows(count.counted, config.sample_rows, seed=config.seed)
    if not sample.rows:
        raise ConfigError("input", ",".join(job.input), "holds no row that could be read; give files that hold some")
    rows, error = (count.rows, count.standard_error) if config.total_rows is None else (float(config.total_rows), 0.0)
    if job.part is not None:
        rows, error = rows / job.part.total, error / job.part.total
    gpu = None if config.is_demo_captioner or not job.makes_captions else _local_gpu(job.device)
    captions = _captions_wanted(config, gpu)
    unit_rows = job.unit_rows or unit_size(round(count.rows / max(1, count.files)), count.files)
    # A file ends with its unit and where the checkpoint flushes, when rows of two units may be under way.
    checkpoint_rows = max(1, round(1 / (1 / unit_rows + 2 / FLUSH_ROWS)))
    _LOG.info("Running %d of %s rows, from %d places.", sample.rows, f"{rows:,.0f}", len(sample.places))
    with _sample_runs(config, sample, captions=captions, unit_rows=unit_rows) as (runs, place_of):
        measurement = sample_run.measure(
            runs,
            place_of,
            by_place=sample.by_place,
            image_size=job.image_size,
            makes_captions=job.makes_captions,
            gpu=gpu if captions else None,
            checkpoint_rows=checkpoint_rows,
        )
    size, about = _captioner(config)
    source = count.source if config.total_rows is None else "told by --total_rows"
    described = Job(
        command=command_line(job),
        settings=flag_values(config),
        rows_source=source if job.part is None else f"{source}; of these slice {job.part}",
        files=count.files,
        rows_per_file=job.rows_per_file,
        checkpoint_rows=checkpoint_rows,
        captions=_about_captions(measurement, about),
        seed=config.seed,
    )
    return _facts(config, described, measurement, (rows, error), size, job.caption_max_new_tokens)


def _plan_summary(config: PlanConfig) -> dict[str, Any]:
    path = config.from_summary or ""
    try:
        summary = earlier_run.read_summary(path)
    except earlier_run.SummaryError as error:
        raise ConfigError("from_summary", path, str(error)) from None
    measurement = earlier_run.measure(summary)
    rows, error, source = float(summary["counts"]["rows"]), 0.0, "as many as the earlier run had"
    number = 1
    if config.total_rows is not None:
        rows, source = float(config.total_rows), "told by --total_rows"
    elif "input" in config.given:
        count = _count(config, tuple(config.given["input"].split(",")), None)
        rows, error, source, number = count.rows, count.standard_error, count.source, count.files
    described = Job(
        command=str(summary.get("command", "")),
        settings=flag_values(config),
        rows_source=source,
        files=number,
        rows_per_file=int(summary["config"].get("rows_per_file", 100_000)),
        checkpoint_rows=FLUSH_ROWS,
        captions=_about_captions(measurement, "rates are of LLaVA-1.5 with LLaMA-3-8B"),
        seed=config.seed,
    )
    tokens = int(summary["config"].get("caption_max_new_tokens", 128))
    return _facts(config, described, measurement, (rows, error), LLAVA_LLAMA3_8B, tokens)


def _facts(
    config: PlanConfig,
    job: Job,
    measurement: Measurement,
    rows: tuple[float, float],
    size: ModelSize,
    max_tokens: int,
) -> dict[str, Any]:
    assumptions = Assumptions(
        deadline_hours=config.deadline_hours,
        vcpu_speed=config.vcpu_speed,
        gpu_clip_cpu_share=config.gpu_clip_cpu_share,
        worker_startup_s=config.worker_startup_s,
        efficiency=config.efficiency,
        disk_gb=config.disk_gb,
    )
    estimator = Estimator(
        measurement,
        rows,
        config.prices,
        assumptions,
        model=size,
        given_rates=dict(config.captioner_rates),
        max_tokens=max_tokens,
        seed=config.seed,
    )
    return plan_facts(job, measurement, estimator, config.prices, list(config.machines.values()), assumptions)


def _count(config: PlanConfig, patterns: Sequence[str], max_rows: int | None) -> RowCount:
    try:
        return count_rows(match_shards(patterns), seed=config.seed, max_rows=max_rows)
    except ShardError as error:
        raise ConfigError("input", ",".join(patterns), f"{error}; {error.remedy}") from None


def _local_gpu(device: str) -> str | None:
    """The GPU of this machine by Compute Engine's name, or by its own if that has none; None without one."""
    if device == "cpu":
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    return next(
        (key for key, gpu in GPUS.items() if gpu.name.split()[0] in name and memory < 1.2 * gpu.memory_gb), name
    )


def _captions_wanted(config: PlanConfig, gpu: str | None) -> bool:
    job = config.recap
    assert job is not None
    if not job.makes_captions or config.sample_captions != "auto":
        return job.makes_captions and config.sample_captions == "true"
    return job.caption_endpoint is None and (config.is_demo_captioner or gpu is not None)


def _captioner(config: PlanConfig) -> tuple[ModelSize, str]:
    """The captioner's sizes, and a word about them."""
    job = config.recap
    assert job is not None
    if job.caption_endpoint is not None:
        return LLAVA_LLAMA3_8B, "a server writes them, whose price and rate are not in here"
    folder = ModelRefs.of(job).captioner
    try:
        found = model_size(json.loads(files.read_bytes(files.join(str(folder), "config.json"))))
    except (OSError, ValueError):
        found = None
    if found is None:
        return LLAVA_LLAMA3_8B, "rates are of LLaVA-1.5 with LLaMA-3-8B"
    return found, f"rates are worked out from the sizes in {folder}/config.json"


def _about_captions(measurement: Measurement, about: str) -> str:
    if not measurement.makes_captions:
        return "none are made"
    if measurement.captions_ran_on == "cpu":
        return "written in the run, on the CPU"
    if measurement.caption_rate is not None:
        gpu, rate = measurement.caption_rate
        return f"written in the sample, {rate:.3g}/s on {gpu}; for other GPUs {about}"
    where = "written in the run, on a GPU" if measurement.captions_ran_on == "gpu" else "not written in the sample"
    return f"{where}; {about}"


@contextmanager
def _sample_runs(
    config: PlanConfig, sample: RowSample, *, captions: bool, unit_rows: int
) -> Iterator[tuple[list[sample_run.SampleRun], dict[str, list[int]]]]:
    """Runs the main job on three parts of the sample, in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="beam-recap-plan-"))
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    ending.at_end(remove)
    try:
        short = min(_SHORT_ROWS, int(sample.rows * _SHORT_SHARE))
        sizes = [short, short, sample.rows - 2 * short] if short >= 2 else [sample.rows]
        inputs = [folder / f"rows-{number}" for number in range(len(sizes))]
        for part in inputs:
            part.mkdir()
        place_of = write_sample(sample.places, inputs, _parts(sample.places, sizes, config.seed))
        runs = []
        for number, part in enumerate(inputs):
            if any(part.iterdir()):
                output = folder / f"out-{number}"
                words = config.sample_words(
                    captions=captions, folder=str(part), output=str(output), unit_rows=unit_rows
                )
                runs.append(_run_part(words, output))
        if not runs:
            raise ConfigError(
                "input",
                config.given.get("input", ""),
                "holds no row that could be read again; see that its files are there",
            )
        yield runs, place_of
    finally:
        remove()


def _parts(places: Sequence[Place], sizes: Sequence[int], seed: int) -> Any:
    """Deals the sample's rows out at random."""
    rows = [(place.number, row) for place in places for row in place.rows]
    random.Random(seed).shuffle(rows)
    part_of, start = {}, 0
    for part, size in enumerate(sizes):
        part_of.update(dict.fromkeys(rows[start : start + size], part))
        start += size
    return lambda place, row: part_of[place.number, row]


def _run_part(words: Sequence[str], output: Path) -> sample_run.SampleRun:
    # What the main job has to say is about a temporary folder.
    quiet = logging.getLogger("beam_recap.run")
    before, level = (time.perf_counter(), _cpu_s()), quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        result = recap.run(words, tells_end=False)
        result.wait_until_finish()
    finally:
        quiet.setLevel(level)
    wall_s, cpu_s = time.perf_counter() - before[0], _cpu_s() - before[1]
    found = result.metrics().query(MetricsFilter().with_namespace(FETCH).with_name("image_bytes"))
    image_bytes = sum(metric.committed.sum for metric in found["distributions"])
    return sample_run.SampleRun(output, cpu_s, wall_s, image_bytes)


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main(argv: Sequence[str]) -> int:
    """The command; see `run_command`."""
    return run_command(PROG, argv, run, format_help, if_interrupted="interrupted; nothing was written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
