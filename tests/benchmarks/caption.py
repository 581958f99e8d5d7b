"""Captioning, compared with transformers' ``generate``: ``python -m tests.benchmarks.caption``.

On a GPU: a LLaVA of the true 8B shape with random weights in bfloat16, and once more in 8 bits where the GPU can.
Without one: the shape of the tiny model that ships with the project, in float32. All sides get the same prompt, the
same pictures, ready prepared, and write captions of the same lengths, drawn as in the paper (mean of 62 tokens, cut at
128): random weights would never end.

* ``generate`` writes batches, each as long as its longest caption. It is asked as the plain captioner asks it.
* ``slots`` and ``fp8`` get all rows at once, as from many callers; rows are read in groups, slots are filled again.
* ``same``: the share of captions whose tokens equal those of ``generate`` in its first batch size; for ``fp8`` those of
  ``slots``. In float32 it must be 100 %; in fewer bits other sums are rounded otherwise, and random weights exaggerate
  what follows from that. ``alike``: the share of tokens before the first that differs.
* ``peak``: the share of the matrix peak, measured here in the same numbers, that the operations of a picture come to.
* ``roofline``: the share of what the peak and the measured memory bandwidth would allow if nothing else took time.
* On a CPU seconds are those of one thread's CPU time, because others use the machine too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch

from beam_recap.models.slots.engine import Prompt
from beam_recap.models.slots.float8 import UnsupportedFloat8, check_float8
from beam_recap.models.slots.scheduler import SlotScheduler
from tests.benchmarks import caption_model as made
from tests.benchmarks.caption_model import END_TOKEN, LLAVA_8B, MAX_TOKENS, TINY
from tests.benchmarks.caption_peaks import bound, measure_bandwidth, measure_float8_peak, measure_peak, now
from tests.benchmarks.caption_sides import EngineOfLengths, run_generate, run_slots

Tokens = list[list[int]]


class Comparison:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._device = torch.device(options.device)
        self._is_gpu = self._device.type == "cuda"
        if not self._is_gpu:
            torch.set_num_threads(1)
        self._dtype = torch.bfloat16 if self._is_gpu else torch.float32
        self._shape = LLAVA_8B if options.shape == "8b" else TINY
        self._ids = made.make_prompt(self._shape, options.seed)
        self._pixels = made.make_pixels(self._shape, options.images, options.seed)
        self._lengths = made.draw_lengths(options.images, options.seed)
        self._peak = measure_peak(self._device, self._dtype)
        self._bandwidth = measure_bandwidth(self._device)

    def results(self) -> Iterator[dict[str, Any]]:
        """First what was run on, then one result per side and size."""
        yield {
            "device": torch.cuda.get_device_name() if self._is_gpu else "cpu",
            "memory_gb": torch.cuda.mem_get_info()[1] / 1e9 if self._is_gpu else None,
            "shape": self._options.shape,
            "images": self._options.images,
            "mean_tokens": mean(self._lengths),
            "peak_tflops": self._peak / 1e12,
            "bandwidth_gb_per_s": self._bandwidth / 1e9,
        }
        model = self._make_model()
        reference: Tokens = []
        for size in self._options.batches:
            # The first batches are enough to know the rate of all.
            count = min(self._options.images, max(size, self._options.images // 4))
            seconds, tokens = self._clock(
                lambda size=size: run_generate(model, self._ids, self._pixels[:size], [2] * size, size),  # type: ignore[misc]
                lambda size=size, count=count: run_generate(  # type: ignore[misc]
                    model, self._ids, self._pixels[:count], self._lengths[:count], size
                ),
            )
            reference = reference or tokens
            yield self._result("generate", size, count / seconds, self._peak, tokens, reference)
        written = yield from self._slots("slots", model, self._peak, reference)
        if self._options.fp8:
            del model  # it has moved into an engine
            peak = measure_float8_peak(self._device)
            yield {"fp8_peak_tflops": peak / 1e12}
            yield from self._slots("fp8", self._make_model(), peak, written)

    def _make_model(self) -> Any:
        return made.make_model(self._shape, self._device, self._dtype, self._options.seed)

    def _slots(self, name: str, model: Any, peak: float, reference: Tokens) -> Iterator[dict[str, Any]]:
        """Results of each number of slots. Returns what the first wrote."""
        first: Tokens = []
        prompt = Prompt(tuple(self._ids), self._ids.index(made.IMAGE_TOKEN))
        engine = EngineOfLengths(
            model,
            [END_TOKEN],
            slots=1,
            max_prompt=len(self._ids),
            max_new_tokens=MAX_TOKENS,
            use_graph=self._is_gpu,
            float8=name == "fp8",
        )
        staged = [engine.stage(pixels) for pixels in self._pixels[: made.PICTURES]]
        pixels = [staged[number % len(staged)] for number in range(self._options.images)]
        for size in self._options.slots:
            engine.resize(size)
            scheduler = SlotScheduler(engine, self._options.group or max(1, min(16, size // 4)))
            run_slots(scheduler, prompt, pixels[:size], [2] * min(size, len(pixels)))
            before = replace(engine.counts)
            seconds, tokens = self._clock(None, lambda: run_slots(scheduler, prompt, pixels, self._lengths))  # noqa: B023
            scheduler.close()
            result = self._result(name, size, len(pixels) / seconds, peak, tokens, reference or tokens)
            yield {**result, "occupancy": engine.counts.occupancy_since(before)}
            first = first or tokens
        return first

    def _clock(self, warm_up: Callable[[], object] | None, run: Callable[[], Tokens]) -> tuple[float, Tokens]:
        """Median of seconds, and what came out."""
        if self._is_gpu:
            torch.cuda.reset_peak_memory_stats()
        if warm_up is not None:
            warm_up()
        seconds, tokens = [], []
        for _ in range(self._options.rounds):
            started = now(self._device)
            tokens = run()
            seconds.append(now(self._device) - started)
        return median(seconds), tokens

    def _result(
        self, engine: str, size: int, rate: float, peak: float, tokens: Tokens, reference: Tokens
    ) -> dict[str, Any]:
        length = mean(self._lengths)
        pairs = list(zip(tokens, reference, strict=False))
        weight_bytes = 1 if engine == "fp8" else self._dtype.itemsize
        return {
            "engine": engine,
            "size": size,
            "images_per_s": rate,
            "peak_share": rate * self._shape.operations(length) / peak,
            "roofline_share": rate
            / bound(self._shape, peak, self._bandwidth, size, length, weight_bytes, self._dtype.itemsize),
            "same_share": mean(mine == theirs for mine, theirs in pairs),
            "alike_share": sum(_shared_start(*pair) for pair in pairs) / sum(len(mine) for mine, _ in pairs),
            "peak_memory_gb": torch.cuda.max_memory_reserved() / 1e9 if self._is_gpu else None,
        }


def _shared_start(mine: list[int], theirs: list[int]) -> int:
    """Tokens before the first that differs."""
    different = (number for number, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b)
    return next(different, min(len(mine), len(theirs)))


def summarise(results: list[dict[str, Any]]) -> str:
    """The one line: each rate, and the engine's best against `generate` at its largest batch and at the same size."""
    rates = {(r["engine"], r["size"]): r for r in results if "engine" in r}
    parts = []
    for (engine, size), r in rates.items():
        text = f"{engine} {size}: {r['images_per_s']:.1f}/s"
        details = [f"{100 * r['peak_share']:.0f} % of peak", f"{100 * r['roofline_share']:.0f} % of roofline"]
        if "occupancy" in r:
            details += [f"occupancy {r['occupancy']:.2f}", f"same {100 * r['same_share']:.0f} %"]
            details += [f"alike {100 * r['alike_share']:.0f} %"]
        if r["peak_memory_gb"] is not None:
            details.append(f"{r['peak_memory_gb']:.0f} GB")
        parts.append(f"{text} ({', '.join(details)})")
    for name in ("slots", "fp8"):
        sides = [r for (engine, _), r in rates.items() if engine == name]
        if sides:
            best = max(sides, key=lambda r: r["images_per_s"])
            parts += [
                f"best {name} / generate {size}: {best['images_per_s'] / r['images_per_s']:.2f}x"
                for (engine, size), r in rates.items()
                if engine == "generate"
            ]
    parts += [
        f"slots {size} / generate {size}: {rates['slots', size]['images_per_s'] / r['images_per_s']:.2f}x"
        for (engine, size), r in rates.items()
        if engine == "generate" and ("slots", size) in rates
    ]
    return "caption: " + ", ".join(parts)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line; what is left out depends on whether there is a GPU."""
    is_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="tests.benchmarks.caption", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if is_gpu else "cpu")
    parser.add_argument("--shape", choices=("8b", "tiny"), default="8b" if is_gpu else "tiny")
    parser.add_argument("--images", type=int, default=2048 if is_gpu else 256)
    parser.add_argument("--batches", type=_sizes, default="16,64" if is_gpu else "16", help="of generate")
    parser.add_argument("--slots", type=_sizes, default="64,128,256" if is_gpu else "16", help="of the engine")
    parser.add_argument("--group", type=int, help="prompts read at once")
    parser.add_argument(
        "--fp8", action=argparse.BooleanOptionalAction, default=is_gpu and _has_float8(), help="also in 8 bits"
    )
    parser.add_argument("--rounds", type=int, default=1 if is_gpu else 3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_args(arguments)


def _has_float8() -> bool:
    try:
        check_float8(torch.device("cuda"))
    except UnsupportedFloat8:
        return False
    return True


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints the results, the last line all in one."""
    options = read_options(arguments)
    results = []
    for result in Comparison(options).results():
        results.append(result)
        print(json.dumps(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print(summarise(results))


if __name__ == "__main__":
    main()
