"""`PlanConfig`: everything a plan is told, checked before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_recap.config import RecapConfig
from beam_recap.flag import DEMO, ConfigError, read_flags
from beam_recap.flags import FLAGS as RECAP_FLAGS
from beam_recap.plan.captioner_speed import GPUS
from beam_recap.plan.flags import PLAN_FLAGS
from beam_recap.plan.prices import Machine, PriceError, Prices, read_prices
from beam_recap.preflight import check_run

_WITHOUT_CAPTIONS = (
    *("caption_endpoint", "caption_endpoint_model", "caption_endpoint_key"),
    *("judge_endpoint", "judge_endpoint_model", "judge_endpoint_key"),
)


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What to plan and how.

    Attributes:
      recap: the main job's config; None where an earlier run's summary tells it.
      given: texts of the main job's flags that were given, by name.
      captioner_rates: captions/s and GPU that the user has measured, by GPU.
    """

    recap: RecapConfig | None
    given: Mapping[str, str]
    prices: Prices
    machines: Mapping[str, Machine]
    captioner_rates: Mapping[str, float]
    sample_rows: int
    seed: int
    from_summary: str | None
    total_rows: int | None
    sample_captions: str
    deadline_hours: float
    vcpu_speed: float
    gpu_clip_cpu_share: float
    worker_startup_s: float
    efficiency: float
    disk_gb: float
    json: str | None
    format: str

    @classmethod
    def from_flags(cls, given: Mapping[str, str]) -> PlanConfig:
        """Reads flag texts; what is missing has its default.

        Raises:
          ConfigError: a flag is unknown, missing, malformed, or at odds with another; or the price file is.
        """
        ours = {flag.name for flag in PLAN_FLAGS}
        values = read_flags(PLAN_FLAGS, {name: text for name, text in given.items() if name in ours})
        theirs = {name: text for name, text in given.items() if name not in ours}
        recap = None
        if values["from_summary"] is None:
            recap = RecapConfig.from_flags(theirs)
        elif beside := [flag.name for flag in RECAP_FLAGS if flag.name in theirs and flag.name not in _BESIDE_SUMMARY]:
            problem = "is told by --from_summary, whose run had its own; leave one of them out"
            raise ConfigError(beside[0], theirs[beside[0]], problem)
        else:
            read_flags(RECAP_FLAGS, theirs)
        try:
            prices = read_prices(values["prices"])
        except PriceError as error:
            remedy = "" if "; " in str(error) else "; write it as beam_recap/plan/prices.yaml is"
            raise ConfigError("prices", values["prices"] or "none", f"{error}{remedy}") from None
        machines = _machines(prices, values.pop("machine_types"))
        rates = _rates(values.pop("captioner_rates"))
        if values["deadline_hours"] * 3600 < 2 * values["worker_startup_s"]:
            problem = f"leaves little time after --worker_startup_s={values['worker_startup_s']:g}; give more"
            raise ConfigError("deadline_hours", values["deadline_hours"], problem)
        values.pop("prices")
        return cls(recap=recap, given=theirs, prices=prices, machines=machines, captioner_rates=rates, **values)

    def check(self) -> None:
        """Looks at the input, the output and the models' files, as the main job would. Writes nothing.

        Raises:
          ConfigError: the main job could not use them.
        """
        if self.recap is not None:
            check_run(self.recap)

    def sample_words(self, *, captions: bool, folder: str, output: str, unit_rows: int) -> list[str]:
        """The main job's command line for a sample of its rows.

        Args:
          captions: whether it captions; no server is asked otherwise.
          folder: the sample's shards.
          output: where to write.
          unit_rows: rows per unit, as the whole job has them.
        """
        assert self.recap is not None
        flags = dict(self.given)
        # The same preset, whose default depends on whether there is an input.
        flags |= {"preset": self.recap.preset, "input": folder, "output": output, "unit_rows": str(unit_rows)}
        flags |= {"max_rows": "none", "slice": "none", "retry": "none", "keep_checkpoint": "true"}
        for name in _OF_WORKERS:
            flags.pop(name, None)
        if not captions:
            flags |= {"captioner": "none", "reject_captions": "none"}
            for name in _WITHOUT_CAPTIONS:
                flags.pop(name, None)
        return ["--runner=DirectRunner", *(f"--{name}={text}" for name, text in flags.items())]

    @property
    def is_demo_captioner(self) -> bool:
        """Whether the demonstration's captioner writes the captions: it needs no GPU."""
        return self.recap is not None and self.recap.captioner == DEMO


_BESIDE_SUMMARY = ("input", "output")
_OF_WORKERS = ("worker_pools", "gpu_accelerator")  # which there are none of here


def _machines(prices: Prices, names: tuple[str, ...]) -> dict[str, Machine]:
    unknown = [name for name in names if name not in prices.machines]
    if unknown:
        known = ", ".join(prices.machines)
        raise ConfigError(
            "machine_types", ",".join(names), f"{unknown[0]} is not in the price file; give some of {known}"
        )
    return {name: prices.machines[name] for name in names or prices.machines}


def _rates(words: tuple[str, ...]) -> dict[str, float]:
    rates = {}
    for word in words:
        gpu, _, text = word.partition(":")
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if gpu not in GPUS or not 0 < rate < math.inf:
            problem = f"{word} is no GPU:RATE; give captions per second of some of {', '.join(GPUS)}"
            raise ConfigError("captioner_rates", ",".join(words), problem)
        rates[gpu] = rate
    return rates


def flag_values(config: PlanConfig) -> dict[str, Any]:
    """The plan's own settings as JSON values, for its record."""
    names = ("sample_rows", "seed", "from_summary", "total_rows", "sample_captions", "deadline_hours", "vcpu_speed")
    more = ("gpu_clip_cpu_share", "worker_startup_s", "efficiency", "disk_gb")
    return {name: getattr(config, name) for name in (*names, *more)} | {
        "machine_types": list(config.machines),
        "captioner_rates": dict(config.captioner_rates),
    }
