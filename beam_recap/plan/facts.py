"""A plan as JSON values: the numbers, and for each where it is from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_recap.plan.captioner_speed import GPUS, UNCERTAINTY
from beam_recap.plan.estimate import Assumptions, Estimator, Option, cheapest
from beam_recap.plan.measurement import Bytes, Measurement, interval
from beam_recap.plan.prices import Machine, Prices

_SOURCES = {
    "estimated": "estimated, not measured",
    "measured": "measured in the sample",
    "given": "given with --captioner_rates",
}


@dataclass(frozen=True)
class Job:
    """What is planned: names and numbers that the estimates do not depend on."""

    command: str
    settings: dict[str, Any]
    rows_source: str
    files: int
    rows_per_file: int
    checkpoint_rows: int
    captions: str  # about the captioner and where its rate is from
    seed: int


def plan_facts(
    job: Job,
    measurement: Measurement,
    estimator: Estimator,
    prices: Prices,
    machines: Sequence[Machine],
    assumptions: Assumptions,
) -> dict[str, Any]:
    """The whole plan. ``estimate``, ``low`` and ``high`` are a value and its 95 % interval."""
    options = estimator.options(machines)
    best = cheapest(options)
    modes = {mode: cheapest([option for option in options if option.mode == mode]) for mode in ("fused", "split")}
    kinds = {machine.name: machine for machine in machines}
    return {
        "command": job.command,
        "settings": job.settings,
        "rows": {
            "total": _value(estimator.rows),
            "source": job.rows_source,
            "files": job.files,
            "sample": measurement.rows,
            "drawn_again_by": "places" if measurement.by_place else "rows",
            "kept": _value(estimator.kept * estimator.rows),
            "captioned": _value(estimator.captioned * estimator.rows) if measurement.makes_captions else None,
        },
        "stages": _stages(measurement, estimator),
        "cpu_ms_per_row": _value(1000 * (np.sum(list(estimator.stage_cpu.values()), axis=0) + estimator.other_cpu)),
        "other_cpu_ms_per_row": _round(1000 * float(estimator.other_cpu[0])),
        "timing": None if measurement.timing is None else measurement.timing.source,
        "captions": job.captions,
        "bytes": _bytes(job, measurement, estimator),
        "this_machine": _here(estimator),
        "options": [_option(option) for option in options],
        "cheapest": None if best is None else _name(best),
        "cheaper_mode": None if None in modes.values() or best is None else best.mode,
        "cheapest_by_mode": {mode: None if option is None else _name(option) for mode, option in modes.items()},
        "money": {
            "currency": prices.currency,
            "region": prices.region,
            "date": prices.date,
            "file": prices.path,
            "unchecked": prices.unchecked(kinds),
            "storage_per_gb_month": prices.storage_gb_month.amount,
            "nat_per_gb": prices.nat_gb.amount,
            "sources": _sources(prices, machines),
        },
        "interval": _interval_text(measurement, estimator),
        "assumptions": _assumption_texts(assumptions),
        "remarks": _remarks(measurement, prices, estimator),
    }


def _value(values: np.ndarray | None) -> dict[str, float] | None:
    return None if values is None else {name: _round(number) for name, number in interval(values).items()}


def _round(number: float) -> float:
    """Six digits: nothing here is known better."""
    return float(f"{number:.6g}")


def _stages(measurement: Measurement, estimator: Estimator) -> list[dict[str, Any]]:
    stages = []
    for number, stage in enumerate(measurement.stages):
        following = measurement.stages[number + 1] if number + 1 < len(measurement.stages) else None
        rows_in, rows_out = f"into {stage}", "kept" if following is None else f"into {following}"
        into = estimator.draws.per_row(rows_in)
        passed = np.divide(estimator.draws.per_row(rows_out), into, out=np.zeros(len(into)), where=into > 0)
        cpu = estimator.stage_cpu.get(stage)
        per_row = None if cpu is None else np.divide(cpu, into, out=np.zeros(len(into)), where=into > 0)
        stages.append(
            {
                "stage": stage,
                "sample_rows_in": round(measurement.sum_of(rows_in)),
                "sample_rows_out": round(measurement.sum_of(rows_out)),
                "passed": _value(np.minimum(1, passed)),
                "cpu_ms_per_row_in": None if per_row is None or not per_row[0] else _value(1000 * per_row),
            }
        )
    if measurement.curated:
        passed = _round(1 - measurement.curated)
        kept = measurement.sum_of("kept")
        stages.append(
            {
                "stage": "curate",
                "sample_rows_in": round(kept),
                "sample_rows_out": round(kept * passed),
                "passed": {"estimate": passed, "low": passed, "high": passed},
                "cpu_ms_per_row_in": None,
            }
        )
    return stages


def _bytes(job: Job, measurement: Measurement, estimator: Estimator) -> dict[str, Any]:
    rows = estimator.rows
    kept = estimator.kept * rows
    files = np.ceil(rows / job.rows_per_file)
    data, rejected = measurement.kept_bytes, measurement.rejected_bytes
    return {
        "data": _value(data.of(kept, files)) if data else None,
        "rejected": _value(rejected.of(rows - kept, files)) if rejected else None,
        "embeddings": _value(measurement.embedding_bytes * kept) if measurement.embedding_bytes else None,
        "webdataset": _value(measurement.webdataset_bytes * kept) if measurement.webdataset_bytes else None,
        "checkpoint": _checkpoint(measurement.checkpoint_bytes, job, rows, measurement.webdataset_bytes * kept),
        "pictures": None if measurement.image_bytes is None else _value(measurement.image_bytes * rows),
        "pictures_from_web": measurement.from_web,
    }


def _checkpoint(size: Bytes | None, job: Job, rows: np.ndarray, pictures: np.ndarray) -> dict[str, float] | None:
    return None if size is None else _value(size.of(rows, np.ceil(rows / job.checkpoint_rows)) + pictures)


def _here(estimator: Estimator) -> dict[str, Any] | None:
    here = estimator.here()
    if here is None:
        return None
    hours, cpu_s, rows_per_s = here
    return {
        "machine": "this machine, one process",
        "hours": _value(hours),
        "cpu_s": _value(cpu_s),
        "rows_per_s": _round(rows_per_s),
    }


def _option(option: Option) -> dict[str, Any]:
    return {
        "mode": option.mode,
        "machines": [
            {
                "machine_type": pool.machine.name,
                "gpu": GPUS[pool.machine.gpu].name if pool.machine.gpu else None,
                "gpus": pool.machine.gpus,
                "workers": pool.workers,
                "rows_per_s_per_worker": _value(pool.rows_per_s),
                "limited_by": pool.limit,
                "hours": _value(pool.hours),
                "worker_hours": _value(pool.worker_hours),
                "gpu_hours": _value(pool.gpu_hours) if pool.machine.gpu else None,
            }
            for pool in option.pools
        ],
        "captioner_rate": None if option.caption_source is None else _SOURCES[option.caption_source],
        "hours": _value(option.hours),
        "shuffled_gb": _value(option.shuffled_gb),
        "dataflow": _value(option.dataflow),
        "vm": _value(option.vm),
        "vm_spot": _value(option.spot),
    }


def _name(option: Option) -> str:
    return f"{option.mode}: {' + '.join(pool.machine.name for pool in option.pools)}"


def _sources(prices: Prices, machines: Sequence[Machine]) -> dict[str, str]:
    lines = {
        "dataflow": prices.vcpu_hour,
        "storage": prices.storage_gb_month,
        "nat": prices.nat_gb,
        **{f"{machine.name}.vm": machine.vm for machine in machines},
        **{f"{machine.name}.spot": machine.spot for machine in machines},
    }
    return {name: price.source for name, price in lines.items() if price is not None}


def _interval_text(measurement: Measurement, estimator: Estimator) -> str:
    what = "places" if measurement.by_place else "rows"
    parts = [f"which {what} the sample happened to draw"]
    if estimator.rows[1:].std() > 0:
        parts.append("the number of rows")
    if estimator.captions_need_gpu:
        parts.append(f"a factor of {UNCERTAINTY:g} either way in captioner rates that are estimated")
    return (
        f"95 %, by drawing the sample's {what} again. It covers {' and '.join(parts)}; "
        "not prices, the assumptions below, or what web servers will do on another day."
    )


def _assumption_texts(assumptions: Assumptions) -> list[str]:
    return [
        f"a vCPU does {assumptions.vcpu_speed:g} of what a core of this machine does (--vcpu_speed)",
        f"workers work {100 * assumptions.efficiency:g} % of their time (--efficiency), after "
        f"{assumptions.worker_startup_s:g} s of start-up (--worker_startup_s)",
        f"each has a disk of {assumptions.disk_gb:g} GB (--disk_gb)",
        f"a GPU takes over all but {100 * assumptions.gpu_clip_cpu_share:g} % of CLIP's CPU time "
        "(--gpu_clip_cpu_share), in next to no time of its own",
    ]


def _remarks(measurement: Measurement, prices: Prices, estimator: Estimator) -> list[str]:
    remarks = [
        "Dataflow's charges include its machines. It has no Spot workers with GPUs; the spot prices are those of "
        "machines of your own, for jobs of slices (--slice).",
    ]
    if measurement.from_web and measurement.image_bytes is not None:
        gigabytes = measurement.image_bytes * float(estimator.rows[0]) / 1e9
        cost = gigabytes * prices.nat_gb.amount
        remarks.append(
            f"Downloads from the web cost nothing to workers with public addresses; through Cloud NAT {gigabytes:,.0f} "
            f"GB would cost {cost:,.2f} {prices.currency}."
        )
    remarks.append("Reading and writing buckets costs nothing within their region; in another one, every GB does.")
    if measurement.curated:
        remarks.append("Duplicates were looked for among the sample's rows only: the whole will have more of them.")
    return [*remarks, *measurement.remarks]
