"""From rows to hours and dollars, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beam_recap.plan.estimate import Assumptions, Estimator, cheapest
from beam_recap.plan.measurement import Bytes, Draws, Measurement, Timing, interval
from beam_recap.plan.prices import read_prices

STAGES = ("read", "fetch", "ocr", "caption")
ASSUMED = Assumptions(
    deadline_hours=10, vcpu_speed=0.5, gpu_clip_cpu_share=0.2, worker_startup_s=360, efficiency=0.8, disk_gb=100
)


def measurement(captioned: int = 40, rows: int = 200, **changes: object) -> Measurement:
    """Rows of 50 ms: 10 to fetch, 30 for OCR, 10 for everything else; a number of them get to the captioner."""
    columns = ("rows", "kept", "jpeg_bytes", *(f"{what} {stage}" for stage in STAGES for what in ("into", "seconds")))
    table = np.zeros((rows, len(columns)))
    for name, value in (
        *(("rows", 1), ("into read", 1), ("into fetch", 1), ("into ocr", 1)),
        *(("seconds fetch", 0.01), ("seconds ocr", 0.03)),
    ):
        table[:, columns.index(name)] = value
    table[:captioned, columns.index("into caption")] = 1
    table[:captioned, columns.index("kept")] = 1
    table[:captioned, columns.index("jpeg_bytes")] = 80_000
    found = Measurement(
        columns=columns,
        table=table,
        stages=STAGES,
        timing=Timing(0.05, 0.06, 30.0, "a test"),
        kept_bytes=Bytes(1000, 200),
        rejected_bytes=Bytes(1000, 50),
        checkpoint_bytes=Bytes(20_000, 100),
        embedding_bytes=0.0,
        webdataset_bytes=0.0,
        image_bytes=100_000.0,
        from_web=True,
        makes_captions=True,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def estimator(found: Measurement, rows: float = 1e6, error: float = 0.0, **more: object) -> Estimator:
    return Estimator(found, (rows, error), read_prices(), ASSUMED, **more)  # type: ignore[arg-type]


def options(found: Measurement, *names: str, **more: object):
    machines = read_prices().machines
    return estimator(found, **more).options([machines[name] for name in names])


def test_a_machine_without_gpu_by_hand() -> None:
    (only,) = options(measurement(makes_captions=False), "n2-standard-8")
    (pool,) = only.pools
    # 8 vCPUs of half a core for 50 ms a row, working 80 % of their time.
    assert pool.rows_per_s[0] == pytest.approx(8 * 0.5 / 0.05 * 0.8)
    assert pool.limit == "cpu"
    # A million rows in ten hours less six minutes.
    assert pool.workers == 1
    assert pool.hours[0] == pytest.approx((360 + 1e6 / 64) / 3600)
    hourly = 8 * 0.056 + 32 * 0.003557 + 100 * 0.000054
    assert only.dataflow is not None
    assert only.vm is not None
    assert only.dataflow[0] == pytest.approx(hourly * pool.hours[0])
    assert only.vm[0] == pytest.approx(0.388472 * pool.hours[0])


def test_workers_for_a_deadline() -> None:
    for rows in (1e6, 3e7, 1.28e9):
        (only,) = options(measurement(makes_captions=False), "n2-standard-8", rows=rows)
        assert only.hours[0] <= ASSUMED.deadline_hours + 1e-9
        (pool,) = only.pools
        if pool.workers > 1:
            fewer = (360 + rows / ((pool.workers - 1) * pool.rows_per_s[0])) / 3600
            assert fewer > ASSUMED.deadline_hours


def test_a_fused_worker_is_as_slow_as_its_slowest_part() -> None:
    rates = {"nvidia-l4": 2.0}
    (fused,) = options(measurement(), "g2-standard-8", given_rates=rates)
    assert fused.caption_source == "given"
    # A fifth of the rows is captioned: 2 captions/s are 10 rows/s, and CPUs would do 78.
    assert fused.pools[0].limit == "gpu"
    assert fused.pools[0].rows_per_s[0] == pytest.approx(0.8 * 10)
    (other,) = options(measurement(captioned=2), "g2-standard-8", given_rates=rates)
    assert other.pools[0].limit == "cpu"
    assert other.pools[0].rows_per_s[0] == pytest.approx(0.8 * 4 / (0.05 + 0.01 * 0.005))


def test_split_pools_work_one_after_the_other() -> None:
    rates = {"nvidia-l4": 2.0}
    fused, split = options(measurement(), "n2-standard-8", "g2-standard-8", given_rates=rates)
    assert (fused.mode, split.mode) == ("fused", "split")
    first, second = split.pools
    assert (first.machine.name, second.machine.name) == ("n2-standard-8", "g2-standard-8")
    assert first.rows_per_s[0] == pytest.approx(0.8 * 4 / (0.05 + 0.2 * 0.006))
    assert second.rows_per_s[0] == pytest.approx(0.8 * 2)
    assert second.workers * second.rows_per_s[0] * second.hours[0] * 3600 > 200_000
    assert split.hours[0] == pytest.approx(first.hours[0] + second.hours[0])
    assert split.hours[0] <= ASSUMED.deadline_hours
    # Every captioned row's JPEG is written and read: 32 GB, of which a quarter is charged.
    assert split.shuffled_gb is not None
    assert split.dataflow is not None
    assert split.shuffled_gb[0] == pytest.approx(2 * 200_000 * 80_000 / 1e9)
    workers = sum(pool.worker_hours[0] * (read_prices().worker_hour(pool.machine, 100) or 0) for pool in split.pools)
    assert split.dataflow[0] == pytest.approx(workers + 0.25 * 32 * 0.011)
    assert split.vm is None


def test_split_pays_where_filters_drop_most_and_fused_where_they_drop_none() -> None:
    names = ("n2-standard-8", "a2-highgpu-1g")
    found = {captioned: cheapest(options(measurement(captioned), *names, rows=1e8)) for captioned in (2, 200)}
    assert found[2] is not None
    assert found[200] is not None
    assert found[2].mode == "split"
    assert found[200].mode == "fused"


def test_estimated_rates_are_marked_and_make_the_interval_wider() -> None:
    (given,) = options(measurement(), "g2-standard-8", given_rates={"nvidia-l4": 2.3})
    (estimated,) = options(measurement(), "g2-standard-8")
    (measured,) = options(measurement(caption_rate=("nvidia-l4", 2.3)), "g2-standard-8")
    assert [option.caption_source for option in (given, estimated, measured)] == ["given", "estimated", "measured"]
    assert given.dataflow is not None
    assert estimated.dataflow is not None
    narrow, wide = interval(given.dataflow), interval(estimated.dataflow)
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_captions_on_a_cpu_count_as_its_work() -> None:
    found = measurement(captions_ran_on="cpu")
    found.table[:40, found.columns.index("seconds caption")] = 0.05
    (only,) = options(replace(found, timing=Timing(0.06, 0.06, 0, "a test")), "n2-standard-8")
    assert only.caption_source is None
    assert only.pools[0].rows_per_s[0] == pytest.approx(0.8 * 4 / 0.06)


def test_a_machine_without_gpu_cannot_caption() -> None:
    assert options(measurement(), "n2-standard-8") == []
    assert cheapest([]) is None


def test_a_sample_that_waited_for_the_network_limits_workers() -> None:
    waiting = measurement(makes_captions=False, timing=Timing(0.05, 0.5, 0, "a test"))
    (only,) = options(waiting, "n2-standard-8")
    assert only.pools[0].limit == "network"
    assert only.pools[0].rows_per_s[0] == pytest.approx(0.8 * 8 / 0.5)
    (local,) = options(replace(waiting, from_web=False), "n2-standard-8")
    assert local.pools[0].limit == "cpu"


def test_seconds_of_threads_that_waited_for_a_core_are_scaled_to_cpu_time() -> None:
    busy = estimator(measurement(timing=Timing(0.02, 0.1, 0, "a test")))
    assert sum(values[0] for values in busy.stage_cpu.values()) == pytest.approx(0.02)
    assert busy.other_cpu[0] == 0
    idle = estimator(measurement())
    assert sum(values[0] for values in idle.stage_cpu.values()) == pytest.approx(0.04)
    assert idle.other_cpu[0] == pytest.approx(0.01)


def test_an_interval_covers_what_samples_differ_by() -> None:
    """Of samples of one population, about 95 % have an interval that holds its share."""
    population = np.random.default_rng(1).random(100_000) < 0.12
    inside = 0
    for seed in range(120):
        kept = int(np.random.default_rng(seed).choice(population, 300).sum())
        found = interval(Draws(measurement(kept, 300), draws=400, seed=seed).per_row("kept"))
        inside += found["low"] <= population.mean() <= found["high"]
    assert 0.88 * 120 <= inside <= 120


def test_rows_that_were_not_counted_make_the_interval_wider() -> None:
    (sure,) = options(measurement(makes_captions=False), "n2-standard-8")
    (unsure,) = options(measurement(makes_captions=False), "n2-standard-8", error=1e5)
    assert sure.hours[1:].std() < 0.01 * unsure.hours[1:].std()
    assert unsure.hours[1:].std() / (unsure.hours[0] - 0.1) == pytest.approx(0.1, rel=0.1)


def test_nothing_in_the_sample_is_not_nothing_in_the_whole() -> None:
    draws = Draws(measurement(captioned=0), draws=2000, seed=0)
    found = interval(draws.per_row("kept"))
    assert found["estimate"] == found["low"] == 0 or found["low"] < 1e-4
    assert 0.002 < found["high"] < 0.03  # the rule of three: 3 / 200


def test_this_machine() -> None:
    found = estimator(measurement(makes_captions=False)).here()
    assert found is not None
    hours, cpu_s, rate = found
    assert cpu_s[0] == pytest.approx(1e6 * 0.05)
    assert hours[0] == pytest.approx((30 + 1e6 * 0.06) / 3600)
    assert rate == pytest.approx(1 / 0.06)
    assert estimator(measurement()).here() is None
