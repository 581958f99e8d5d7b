"""What a whole job takes on each machine type, fused and split: from a measurement, a number of rows and prices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from beam_recap.plan.captioner_speed import (
    CAPTION_TOKENS,
    GPUS,
    LLAVA_LLAMA3_8B,
    UNCERTAINTY,
    ModelSize,
    estimated_rate,
)
from beam_recap.plan.measurement import Draws, Measurement, Ratio
from beam_recap.plan.prices import Machine, Prices
from beam_recap.records import Stage

DRAWS = 2000
# CPU seconds for a picture between the two pools: shrunk and encoded before, decoded after. And what a captioner's CPU
# does for one: resizing, padding, handing over. Single measurements on one core of an AMD EPYC of the third generation.
ENCODE_S, DECODE_S, PREPARE_S = 0.006, 0.002, 0.005
# A run counts as waiting for the network where it takes so many times as long as its CPU works.
_WAITING = 1.3
_LEAST_PHASE = 0.1  # of the deadline, for either of two pools that work one after the other


@dataclass(frozen=True)
class Assumptions:
    """What nobody has measured; see the flags of the same names."""

    deadline_hours: float
    vcpu_speed: float
    gpu_clip_cpu_share: float
    worker_startup_s: float
    efficiency: float
    disk_gb: float


@dataclass(frozen=True)
class CaptionRate:
    """Captions/s of one GPU, for each draw, and whether it was ``measured``, ``given`` or ``estimated``."""

    rate: Ratio
    source: str


@dataclass(frozen=True)
class Pool:
    """Workers of one machine type for one phase. All arrays hold the estimate and the bootstrap's draws.

    ``limit`` is what they wait for: ``cpu``, ``gpu`` or ``network``.
    """

    machine: Machine
    workers: int
    rows_per_s: Ratio  # of one worker; of the job's rows, in a GPU pool of those that are captioned
    hours: Ratio
    limit: str

    @property
    def worker_hours(self) -> Ratio:
        return self.workers * self.hours

    @property
    def gpu_hours(self) -> Ratio:
        return self.machine.gpus * self.worker_hours


@dataclass(frozen=True)
class Option:
    """One way to do the job. Dollars are None where the price file lacks a price.

    ``dataflow`` is the whole bill of a Dataflow job; ``vm`` and ``spot`` are the machines' alone, one's own.
    """

    mode: str  # "fused" or "split"
    pools: tuple[Pool, ...]
    hours: Ratio
    caption_source: str | None
    shuffled_gb: Ratio | None
    dataflow: Ratio | None
    vm: Ratio | None
    spot: Ratio | None


class Estimator:
    """Works out options for one job.

    Args:
      measurement: of some of its rows.
      rows: of the whole, and the standard error of that.
      prices: of everything.
      assumptions: what else is needed.
      model: the captioner's sizes, for rates that are estimated.
      given_rates: captions/s and GPU that the user has measured, by GPU.
      max_tokens: the longest caption.
      seed: of the bootstrap.
    """

    def __init__(
        self,
        measurement: Measurement,
        rows: tuple[float, float],
        prices: Prices,
        assumptions: Assumptions,
        *,
        model: ModelSize = LLAVA_LLAMA3_8B,
        given_rates: dict[str, float] | None = None,
        max_tokens: int = 128,
        seed: int = 0,
    ):
        self._measurement = measurement
        self._prices = prices
        self._assumptions = assumptions
        self._model = model
        self._given_rates = given_rates or {}
        self._max_tokens = max_tokens
        random = np.random.default_rng(seed)
        self.draws = Draws(measurement, draws=DRAWS, seed=seed)
        drawn = np.maximum(1.0, rows[0] + rows[1] * random.standard_normal(DRAWS))
        self.rows: Ratio = np.concatenate([[rows[0]], drawn])
        # One factor for all GPUs: where one estimate is too high, so are the others.
        reach = math.log(UNCERTAINTY)
        self._doubt: Ratio = np.concatenate([[1.0], np.exp(random.uniform(-reach, reach, DRAWS))])
        self.captioned = self.draws.per_row(f"into {Stage.CAPTION}") if measurement.makes_captions else 0 * self.rows
        self.kept = self.draws.per_row("kept") * (1 - measurement.curated)
        self.stage_cpu, self.other_cpu = self._cpu()

    @property
    def captions_need_gpu(self) -> bool:
        """Whether captions are made by a model that a CPU is no place for."""
        return self._measurement.makes_captions and self._measurement.captions_ran_on != "cpu"

    def _cpu(self) -> tuple[dict[str, Ratio], Ratio]:
        """CPU seconds for each row of the input, by stage and besides.

        A stage's seconds are those of a thread, which may have waited for a core or kept several busy; CPU time tells
        how much all of them had, so shares are taken of it.
        """
        found = self._measurement
        names = [name for name in found.stages if not (name == Stage.CAPTION and found.captions_ran_on != "cpu")]
        seconds = {name: self.draws.per_row(f"seconds {name}") for name in names}
        total = 0.0 if found.timing is None else found.timing.cpu_s
        spent = sum(float(values[0]) for values in seconds.values())
        scale = min(1.0, total / spent) if spent and found.timing is not None else 1.0
        other = np.full(len(self.rows), max(0.0, total - spent * scale))
        return {name: scale * values for name, values in seconds.items()}, other

    def caption_rate(self, machine: Machine) -> CaptionRate | None:
        """Of one of the machine's GPUs; None if it has none, or too small ones."""
        if machine.gpu is None:
            return None
        if machine.gpu in self._given_rates:
            return CaptionRate(np.full(len(self.rows), self._given_rates[machine.gpu]), "given")
        if self._measurement.caption_rate is not None and self._measurement.caption_rate[0] == machine.gpu:
            return CaptionRate(np.full(len(self.rows), self._measurement.caption_rate[1]), "measured")
        tokens = self._measurement.caption_tokens or CAPTION_TOKENS
        rate = estimated_rate(
            self._model, GPUS[machine.gpu], min(tokens, self._max_tokens), max_tokens=self._max_tokens
        )
        return None if rate is None else CaptionRate(rate * self._doubt, "estimated")

    def options(self, machines: Sequence[Machine]) -> list[Option]:
        """Every machine that can do the job alone, and for each GPU the cheapest machine without one beside it."""
        if self._measurement.timing is None:
            return []
        fused = [option for machine in machines if (option := self._fused(machine)) is not None]
        if not self.captions_need_gpu:
            return fused
        split = []
        for machine in machines:
            pairs = [self._split(plain, machine) for plain in machines if plain.gpu is None]
            found = [option for option in pairs if option is not None]
            split += [min(found, key=_price_of)] if found else []
        return [*fused, *split]

    def here(self) -> tuple[Ratio, Ratio, float] | None:
        """Hours, CPU seconds and rows/s of one process on this machine; None if it was to make captions and did not."""
        timing = self._measurement.timing
        needs_captions = self._measurement.makes_captions and self._measurement.captions_ran_on is None
        if timing is None or not timing.is_here or needs_captions:
            return None
        cpu = np.sum(list(self.stage_cpu.values()), axis=0) + self.other_cpu
        wall_s = timing.wall_s * cpu / cpu[0] if cpu[0] else np.full(len(cpu), timing.wall_s)
        hours = (timing.startup_s + self.rows * wall_s) / 3600
        return hours, timing.startup_cpu_s + self.rows * cpu, 1 / max(timing.wall_s, 1e-9)

    def _fused(self, machine: Machine) -> Option | None:
        cpu = self.other_cpu + self._stages_cpu(machine)
        limits: dict[str, Ratio] = {"network": self._network(machine)}
        source = None
        if self.captions_need_gpu:
            rate = self.caption_rate(machine)
            if rate is None:
                return None
            cpu = cpu + PREPARE_S * self.captioned
            limits["gpu"] = machine.gpus * rate.rate / np.maximum(self.captioned, 1e-12)
            source = rate.source
        limits["cpu"] = self._cores(machine) / np.maximum(cpu, 1e-9)
        pool = self._pool(machine, limits, self.rows, self._assumptions.deadline_hours)
        return self._option("fused", (pool,), source, None)

    def _split(self, plain: Machine, machine: Machine) -> Option | None:
        rate = self.caption_rate(machine)
        if rate is None:
            return None
        before = self.other_cpu + self._stages_cpu(plain) + ENCODE_S * self.captioned
        first = {"cpu": self._cores(plain) / np.maximum(before, 1e-9), "network": self._network(plain)}
        second = {
            "cpu": np.full(len(self.rows), self._cores(machine) / (DECODE_S + PREPARE_S)),
            "gpu": machine.gpus * rate.rate,
        }
        captioned = self.captioned * self.rows
        # The second pool starts when the first is done. Each has that part of the time that it has of the work.
        work = [
            float((rows / np.min(list(limits.values()), axis=0))[0])
            for rows, limits in ((self.rows, first), (captioned, second))
        ]
        share = min(1 - _LEAST_PHASE, max(_LEAST_PHASE, work[0] / max(sum(work), 1e-9)))
        hours = self._assumptions.deadline_hours
        pools = (
            self._pool(plain, first, self.rows, share * hours),
            self._pool(machine, second, captioned, (1 - share) * hours),
        )
        # Written once and read once.
        shuffled = 2 * self.draws.per_row("jpeg_bytes") * self.rows / 1e9
        return self._option("split", pools, rate.source, shuffled)

    def _stages_cpu(self, machine: Machine) -> Ratio:
        total = np.zeros(len(self.rows))
        for name, seconds in self.stage_cpu.items():
            share = self._assumptions.gpu_clip_cpu_share if machine.gpu is not None and name == Stage.CLIP else 1.0
            total = total + share * seconds
        return total

    def _cores(self, machine: Machine) -> float:
        return machine.vcpus * self._assumptions.vcpu_speed * machine.speed

    def _network(self, machine: Machine) -> Ratio:
        """Rows/s that a worker's downloads allow: as many processes as vCPUs, each like the one here."""
        timing = self._measurement.timing
        assert timing is not None
        waits = self._measurement.from_web and timing.is_here and timing.wall_s > _WAITING * timing.cpu_s
        rate = machine.vcpus / max(timing.wall_s, 1e-9) if waits else math.inf
        return np.full(len(self.rows), rate)

    def _pool(self, machine: Machine, limits: dict[str, Ratio], rows: Ratio, hours: float) -> Pool:
        rate = self._assumptions.efficiency * np.min(list(limits.values()), axis=0)
        working = max(60.0, 3600 * hours - self._assumptions.worker_startup_s)
        workers = max(1, math.ceil(rows[0] / (rate[0] * working)))
        took = (self._assumptions.worker_startup_s + rows / (workers * rate)) / 3600
        return Pool(machine, workers, rate, took, min(limits, key=lambda name: limits[name][0]))

    def _option(self, mode: str, pools: tuple[Pool, ...], source: str | None, shuffled: Ratio | None) -> Option:
        dataflow = _sum(
            [_times(pool, self._prices.worker_hour(pool.machine, self._assumptions.disk_gb)) for pool in pools]
        )
        if dataflow is not None and shuffled is not None:
            dataflow = dataflow + np.array([self._prices.shuffled(gigabytes) for gigabytes in shuffled])
        vm = _sum([_times(pool, pool.machine.vm.amount if pool.machine.vm else None) for pool in pools])
        spot = _sum([_times(pool, pool.machine.spot.amount if pool.machine.spot else None) for pool in pools])
        hours = np.sum([pool.hours for pool in pools], axis=0)
        # Between machines of one's own there is no Dataflow to shuffle.
        mine = mode == "fused"
        return Option(mode, pools, hours, source, shuffled, dataflow, vm if mine else None, spot if mine else None)


def _times(pool: Pool, price: float | None) -> Ratio | None:
    return None if price is None else pool.worker_hours * price


def _sum(parts: Sequence[Ratio | None]) -> Ratio | None:
    known = [part for part in parts if part is not None]
    return np.sum(known, axis=0) if len(known) == len(parts) else None


def _price_of(option: Option) -> float:
    return math.inf if option.dataflow is None else float(option.dataflow[0])


def cheapest(options: Sequence[Option]) -> Option | None:
    """By what Dataflow would charge."""
    priced = [option for option in options if option.dataflow is not None]
    return min(priced, key=_price_of, default=None)
