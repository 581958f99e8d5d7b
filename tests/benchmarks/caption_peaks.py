"""What the machine of the captioner's benchmark can do at best, measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from beam_recap.models.slots.float8 import multiply_float8, to_float8
from tests.benchmarks.caption_model import Shape


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of large matrix products."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = best_of(5, lambda: [left @ right for _ in range(8)], device)
    return 8 * 2 * size**3 / seconds


def measure_float8_peak(device: torch.device) -> float:
    """The same in 8 bits, as the engine multiplies them but with the numbers made ready before."""
    size = 8192 if device.type == "cuda" else 1024
    (left, scale), (right, other) = (to_float8(torch.randn(size, size, device=device)) for _ in range(2))

    def multiply() -> None:
        for _ in range(8):
            multiply_float8(left, scale, right.t(), other.t())

    return 8 * 2 * size**3 / best_of(5, multiply, device)


def measure_bandwidth(device: torch.device) -> float:
    """Bytes per second that are read while a large array is summed."""
    numbers = torch.ones(2**30 if device.type == "cuda" else 2**25, device=device, dtype=torch.float32)
    return numbers.nbytes / best_of(5, numbers.sum, device)


def bound(
    shape: Shape, peak: float, bandwidth: float, slots: int, new_tokens: float, weight_bytes: int, cache_bytes: int
) -> float:
    """Pictures per second if only the peak counted, and each step took as long as its reads do."""
    read = shape.weight_numbers * weight_bytes + slots * shape.cache_read(new_tokens) * cache_bytes
    reads_s = new_tokens / slots * read / bandwidth
    without_steps = shape.operations(0) / peak
    steps_s = (shape.operations(new_tokens) - shape.operations(0)) / peak
    return 1 / (without_steps + max(reads_s, steps_s))


def best_of(rounds: int, run: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(rounds + 1):  # the first warms up
        started = now(device)
        run()
        seconds.append(now(device) - started)
    return min(seconds[1:])


def now(device: torch.device) -> float:
    """Seconds. On a CPU those that this process used: what else the machine does must not count."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
