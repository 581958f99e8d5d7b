"""The price file: what machines, shuffles and storage cost, on which date, by which page."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from beam_recap import files
from beam_recap.isolation import describe_error
from beam_recap.plan.captioner_speed import GPUS

DEFAULT = Path(__file__).parent / "prices.yaml"
_MOST_BYTES = 1 << 20


class PriceError(ValueError):
    """A price file that cannot be used. The message ends a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Price:
    """One line: an amount in the file's currency, and where it is from."""

    amount: float
    source: str  # a page's address, or words
    checked: bool  # whether it was seen there
    note: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type. ``vm`` and ``spot`` are hourly prices of a machine of one's own."""

    name: str
    vcpus: int
    memory_gb: float
    gpu: str | None  # Compute Engine's name of the accelerator
    gpus: int
    vm: Price | None
    spot: Price | None
    speed: float  # of a vCPU, as a multiple of another machine's in the file


@dataclass(frozen=True, slots=True)
class ShuffleTier:
    """Of a job's shuffled GB up to ``up_to_gb`` only ``share`` is charged."""

    up_to_gb: float
    share: float


@dataclass(frozen=True, slots=True)
class Prices:
    """A whole file. ``vcpu_hour``, ``gb_hour``, ``disk_gb_hour`` and ``gpu_hour`` are what Dataflow charges."""

    path: str
    date: str
    region: str
    currency: str
    machines: dict[str, Machine]
    vcpu_hour: Price
    gb_hour: Price
    disk_gb_hour: Price
    gpu_hour: dict[str, Price]
    shuffle_gb: Price
    shuffle_tiers: tuple[ShuffleTier, ...]
    storage_gb_month: Price
    nat_gb: Price

    def worker_hour(self, machine: Machine, disk_gb: float) -> float | None:
        """What Dataflow charges for a worker and an hour; None without a price of its GPU."""
        gpu = 0.0
        if machine.gpu is not None:
            if machine.gpu not in self.gpu_hour:
                return None
            gpu = machine.gpus * self.gpu_hour[machine.gpu].amount
        memory = machine.memory_gb * self.gb_hour.amount
        return machine.vcpus * self.vcpu_hour.amount + memory + disk_gb * self.disk_gb_hour.amount + gpu

    def shuffled(self, gigabytes: float) -> float:
        """What a job's shuffled GB (those written and those read) cost."""
        charged, below = 0.0, 0.0
        for tier in self.shuffle_tiers:
            charged += tier.share * max(0.0, min(gigabytes, tier.up_to_gb) - below)
            below = tier.up_to_gb
        return charged * self.shuffle_gb.amount

    def unchecked(self, machines: Mapping[str, Machine]) -> list[str]:
        """Names of the lines that count for these machines and were not checked."""
        lines: dict[str, Price | None] = {
            "dataflow.vcpu_hour": self.vcpu_hour,
            "dataflow.gb_hour": self.gb_hour,
            "dataflow.disk_gb_hour": self.disk_gb_hour,
            "dataflow.shuffle_gb": self.shuffle_gb,
            "storage_gb_month": self.storage_gb_month,
            "nat_gb": self.nat_gb,
        }
        for machine in machines.values():
            if machine.gpu in self.gpu_hour:
                lines[f"dataflow.gpu_hour.{machine.gpu}"] = self.gpu_hour[str(machine.gpu)]
            lines |= {f"{machine.name}.vm": machine.vm, f"{machine.name}.spot": machine.spot}
        return [name for name, price in lines.items() if price is not None and not price.checked]


def read_prices(path: str | None = None) -> Prices:
    """Reads a price file.

    Args:
      path: local or ``gs://``; None: the one that ships with the project.

    Raises:
      PriceError: it is missing, too long, no YAML, or lacks something.
    """
    path = str(DEFAULT) if path is None else path
    try:
        with files.open_read(path) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise PriceError(f"has more than {_MOST_BYTES} bytes")
        content = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise PriceError(f"is no YAML ({' '.join(str(error).split())})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PriceError(f"cannot be read ({describe_error(error)})") from None
    return _prices(path, _Place(content, ""))


class _Place:
    """A mapping in the file, and where it is: what is said of a mistake names it."""

    def __init__(self, content: Any, name: str):
        if not isinstance(content, dict):
            raise PriceError(f"has no mapping at {name or 'its top'}; see {DEFAULT.name} of the project")
        self._content, self._name = content, name

    def _at(self, key: str) -> str:
        return f"{self._name}.{key}".lstrip(".")

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def keys(self) -> list[str]:
        return [str(key) for key in self._content]

    def below(self, key: str) -> _Place:
        return _Place(self._content.get(key), self._at(key))

    def text(self, key: str, default: str | None = None) -> str:
        value = self._content.get(key, default)
        if not isinstance(value, str | datetime.date):
            raise PriceError(f"has no text at {self._at(key)}")
        return str(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._content.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise PriceError(f"has no number from 0 at {self._at(key)}")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self._content.get(key)
        if not isinstance(value, bool):
            raise PriceError(f"says neither true nor false at {self._at(key)}")
        return value

    def items(self, key: str) -> list[_Place]:
        value = self._content.get(key)
        if not isinstance(value, list) or not value:
            raise PriceError(f"has no list at {self._at(key)}")
        return [_Place(item, f"{self._at(key)}[{number}]") for number, item in enumerate(value)]


def _prices(path: str, top: _Place) -> Prices:
    pages = top.below("pages")
    dataflow = top.below("dataflow")
    gpu_hour = dataflow.below("gpu_hour")
    machines = top.below("machines")
    tiers = tuple(
        ShuffleTier(tier.number("up_to_gb") if "up_to_gb" in tier else math.inf, tier.number("share"))
        for tier in dataflow.items("shuffle_tiers")
    )
    if tiers[-1].up_to_gb != math.inf or any(a.up_to_gb >= b.up_to_gb for a, b in itertools.pairwise(tiers)):
        raise PriceError("has dataflow.shuffle_tiers that do not rise, or whose last one ends")
    return Prices(
        path=path,
        date=top.text("date"),
        region=top.text("region"),
        currency=top.text("currency"),
        machines={name: _machine(name, machines.below(name), pages) for name in machines.keys()},  # noqa: SIM118
        vcpu_hour=_price(dataflow.below("vcpu_hour"), pages),
        gb_hour=_price(dataflow.below("gb_hour"), pages),
        disk_gb_hour=_price(dataflow.below("disk_gb_hour"), pages),
        gpu_hour={name: _price(gpu_hour.below(name), pages) for name in gpu_hour.keys()},  # noqa: SIM118
        shuffle_gb=_price(dataflow.below("shuffle_gb"), pages),
        shuffle_tiers=tiers,
        storage_gb_month=_price(top.below("storage_gb_month"), pages),
        nat_gb=_price(top.below("nat_gb"), pages),
    )


def _machine(name: str, place: _Place, pages: _Place) -> Machine:
    gpu = place.text("gpu") if "gpu" in place else None
    if gpu is not None and gpu not in GPUS:
        raise PriceError(f"names at machines.{name}.gpu a GPU that is not known ({gpu}); give one of {', '.join(GPUS)}")
    vcpus, gpus = place.number("vcpus"), place.number("gpus", 1.0) if gpu else 0.0
    if vcpus < 1 or vcpus != int(vcpus) or gpus != int(gpus):
        raise PriceError(f"has no whole number of vcpus and gpus at machines.{name}")
    return Machine(
        name=name,
        vcpus=int(vcpus),
        memory_gb=place.number("memory_gb"),
        gpu=gpu,
        gpus=int(gpus),
        vm=_price(place.below("vm"), pages) if "vm" in place else None,
        spot=_price(place.below("spot"), pages) if "spot" in place else None,
        speed=place.number("speed", 1.0) or 1.0,
    )


def _price(place: _Place, pages: _Place) -> Price:
    source = place.text("source")
    address = pages.text(source) if source in pages else source
    return Price(place.number("price"), address, place.flag("checked"), place.text("note", ""))
