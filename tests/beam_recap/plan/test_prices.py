"""The price file that ships, and files that cannot be used."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from beam_recap.accelerators import GPU_PRESETS, machine_problem, parse_accelerator
from beam_recap.plan.captioner_speed import GPUS
from beam_recap.plan.prices import DEFAULT, PriceError, read_prices


def content() -> dict[str, Any]:
    return yaml.safe_load(DEFAULT.read_text())


def write(folder: Path, value: object) -> str:
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump(value))
    return str(path)


def test_the_file_that_ships() -> None:
    prices = read_prices()
    assert datetime.date.fromisoformat(prices.date) >= datetime.date(2026, 11, 21)
    assert (prices.region, prices.currency) == ("us-central1", "USD")
    families = {name.split("-")[0] for name in prices.machines}
    assert families >= {"e2", "n2", "c3", "g2", "a2", "a3"}
    assert {machine.gpu for machine in prices.machines.values()} == {None, *prices.gpu_hour}
    for machine in prices.machines.values():
        assert machine.vm is not None
        assert machine.spot is not None
        assert 0 < machine.spot.amount < machine.vm.amount
        assert machine.vm.source.startswith("https://")
    for preset in GPU_PRESETS.values():
        machine = prices.machines[preset.machine_type]
        assert machine.gpu == parse_accelerator(preset.accelerator).type
        assert GPUS[str(machine.gpu)].memory_gb == preset.gpu_memory_gb
        assert GPUS[str(machine.gpu)].batch == preset.caption_batch_size


def test_machines_have_the_gpus_that_they_are_said_to_have() -> None:
    for machine in read_prices().machines.values():
        if machine.gpu is not None:
            text = f"type:{machine.gpu};count:{machine.gpus};install-nvidia-driver"
            assert machine_problem(parse_accelerator(text), machine.name) is None


def test_a_worker_on_dataflow() -> None:
    prices = read_prices()
    plain, with_gpu = prices.machines["n2-standard-8"], prices.machines["g2-standard-8"]
    hourly = 8 * 0.056 + 32 * 0.003557 + 100 * 0.000054
    assert prices.worker_hour(plain, 100) == pytest.approx(hourly)
    assert prices.worker_hour(with_gpu, 100) == pytest.approx(hourly + 0.56004)


@pytest.mark.parametrize(
    ("gigabytes", "charged"), [(0, 0), (100, 25), (250, 62.5), (1250, 562.5), (5120, 2497.5), (6120, 3497.5)]
)
def test_shuffled_bytes_are_cheaper_at_first(gigabytes: float, charged: float) -> None:
    assert read_prices().shuffled(gigabytes) == pytest.approx(0.011 * charged)


def test_what_was_not_checked_is_named() -> None:
    prices = read_prices()
    chosen = {name: prices.machines[name] for name in ("n2-standard-8", "a2-ultragpu-1g")}
    names = prices.unchecked(chosen)
    assert {"dataflow.shuffle_gb", "n2-standard-8.spot", "dataflow.gpu_hour.nvidia-a100-80gb"} <= set(names)
    assert "n2-standard-8.vm" not in names
    assert not any(name.startswith("c3") for name in names)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    mine = content()
    mine["machines"] = {"my-box": {"vcpus": 64, "memory_gb": 256, "gpu": "nvidia-l4", "gpus": 4, "speed": 1.5}}
    mine["dataflow"]["gpu_hour"] = {}
    prices = read_prices(write(tmp_path, mine))
    machine = prices.machines["my-box"]
    assert (machine.vcpus, machine.gpus, machine.speed, machine.vm) == (64, 4, 1.5, None)
    assert prices.worker_hour(machine, 100) is None


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("dataflow.vcpu_hour.price", "much", "has no number from 0 at dataflow.vcpu_hour.price"),
        ("dataflow.vcpu_hour.price", -1, "has no number from 0 at dataflow.vcpu_hour.price"),
        ("dataflow.vcpu_hour.checked", "yes", "says neither true nor false at dataflow.vcpu_hour.checked"),
        ("dataflow.shuffle_tiers", [], "has no list at dataflow.shuffle_tiers"),
        ("dataflow.shuffle_tiers", [{"up_to_gb": 5, "share": 1}], "do not rise, or whose last one ends"),
        ("machines.n2-standard-8", None, "has no mapping at machines.n2-standard-8"),
        ("machines.n2-standard-8.vcpus", 1.5, "no whole number of vcpus"),
        ("machines.n2-standard-8.gpu", "nvidia-l5", "a GPU that is not known (nvidia-l5)"),
        ("region", None, "has no text at region"),
    ],
)
def test_files_that_lack_something(tmp_path: Path, path: str, value: object, sentence: str) -> None:
    broken = content()
    place = broken
    *folders, name = path.split(".")
    for folder in folders:
        place = place[folder]
    place[name] = value
    with pytest.raises(PriceError) as caught:
        read_prices(write(tmp_path, broken))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["[", "- 1", "\x00", "!!python/object/apply:os.system [true]"])
def test_files_that_are_no_prices(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(PriceError):
        read_prices(str(path))
