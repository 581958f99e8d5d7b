"""Captioning, compared with transformers' ``generate``: ``python -m tests.benchmarks.caption``.

On a GPU: a LLaVA of the true 8B shape with random weights in bfloat16. Without one: the shape of the tiny model that
ships with the project, in float32. Both sides get the same prompt, the same pictures, ready prepared, and write
captions of the same lengths, drawn as in the paper (mean of 62 tokens, cut at 128): random weights would never end.

* ``generate`` writes batches, each as long as its longest caption. It is asked as the plain captioner asks it.
* The engine gets all rows at once, as from many callers; rows are read in groups, and slots are filled again.
* ``same``: the share of captions whose tokens equal those of ``generate`` in its first batch size. In float32 it must
  be 100 %; in bfloat16 other sums are rounded otherwise, and random weights exaggerate what follows from that.
* ``peak``: the share of the matrix peak, measured here in the same dtype, that the operations of a picture come to.
* On a CPU seconds are those of one thread's CPU time, because others use the machine too.
* ``roofline``: the share of what the peak and the measured memory bandwidth would allow if nothing else took time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch

from beam_recap.models.slots.engine import Prompt, SlotEngine, Writing
from beam_recap.models.slots.scheduler import Row, SlotScheduler, Written
from tests.benchmarks import caption_model as made
from tests.benchmarks.caption_model import END_TOKEN, LLAVA_8B, MAX_TOKENS, TINY, Shape


class _EndAt:
    """A logits processor that ends each row at its length, and nowhere else."""

    def __init__(self, prompt_tokens: int, lengths: list[int], device: torch.device) -> None:
        self._prompt_tokens = prompt_tokens
        self._lengths = torch.tensor(lengths, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, END_TOKEN] = -torch.inf
        ends = self._lengths == input_ids.shape[1] - self._prompt_tokens
        scores[ends] = -torch.inf
        scores[ends, END_TOKEN] = 0
        return scores


class _EngineOfLengths(SlotEngine[Row]):
    """An engine whose answers have the lengths that were drawn."""

    lengths: ClassVar[dict[Row, int]] = {}

    def _is_end(self, writing: Writing[Row], token: int) -> bool:
        return len(writing.ids) == self.lengths[writing.key]


def run_generate(
    model: Any, prompt: list[int], pixels: torch.Tensor, lengths: list[int], batch_size: int
) -> list[list[int]]:
    """New tokens of each picture."""
    from transformers import LogitsProcessorList

    ids: list[list[int]] = []
    for start in range(0, len(lengths), batch_size):
        part = lengths[start : start + batch_size]
        inputs = torch.tensor([prompt] * len(part), device=model.device)
        with torch.inference_mode():
            output = model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                pixel_values=pixels[start : start + batch_size].to(model.device, model.dtype),
                logits_processor=LogitsProcessorList([_EndAt(len(prompt), part, model.device)]),
                max_new_tokens=MAX_TOKENS,
            )
        rows = output[:, len(prompt) :].tolist()
        ids += [row[:length] for row, length in zip(rows, part, strict=True)]
    return ids


def run_slots(scheduler: SlotScheduler, prompt: Prompt, pixels: torch.Tensor, lengths: list[int]) -> list[list[int]]:
    """New tokens of each picture."""
    rows = [Row(prompt, one) for one in pixels]
    _EngineOfLengths.lengths = dict(zip(rows, lengths, strict=True))
    scheduler.announce(len(rows))
    for row in rows:
        scheduler.submit(row)
    ids = []
    for row in rows:
        result = row.future.result()
        if not isinstance(result, Written):
            raise RuntimeError(f"a picture has no caption: {result}")
        ids.append(result.ids)
    return ids


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of large matrix products."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = _best_of(5, lambda: [left @ right for _ in range(8)], device)
    return 8 * 2 * size**3 / seconds


def measure_bandwidth(device: torch.device) -> float:
    """Bytes per second that are read while a large array is summed."""
    numbers = torch.ones(2**30 if device.type == "cuda" else 2**25, device=device, dtype=torch.float32)
    return numbers.nbytes / _best_of(5, numbers.sum, device)


def bound(shape: Shape, peak: float, bandwidth: float, slots: int, new_tokens: float, bytes_per_number: int) -> float:
    """Pictures per second if only the peak counted, and each step took as long as its reads do."""
    reads_s = new_tokens / slots * shape.step_bytes(slots, new_tokens, bytes_per_number) / bandwidth
    without_steps = shape.operations(0) / peak
    steps_s = (shape.operations(new_tokens) - shape.operations(0)) / peak
    return 1 / (without_steps + max(reads_s, steps_s))


def _best_of(rounds: int, run: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(rounds + 1):  # the first warms up
        started = _now(device)
        run()
        seconds.append(_now(device) - started)
    return min(seconds[1:])


def _now(device: torch.device) -> float:
    """Seconds. On a CPU those that this process used: what else the machine does must not count."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _clock(run: Callable[[], list[list[int]]], rounds: int, device: torch.device) -> tuple[float, list[list[int]]]:
    """Median of seconds, and what came out."""
    seconds, ids = [], []
    for _ in range(rounds):
        started = _now(device)
        ids = run()
        seconds.append(_now(device) - started)
    return median(seconds), ids


def compare(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One result after the other; the engine's come last, because the model moves into it."""
    device = torch.device(options.device)
    is_gpu = device.type == "cuda"
    if not is_gpu:
        torch.set_num_threads(1)
    dtype = torch.bfloat16 if is_gpu else torch.float32
    shape = LLAVA_8B if options.shape == "8b" else TINY
    model = made.make_model(shape, device, dtype, options.seed)
    ids = made.make_prompt(shape, options.seed)
    pixels = made.make_pixels(shape, options.images, options.seed)
    lengths = made.draw_lengths(options.images, options.seed)
    mean = sum(lengths) / len(lengths)
    peak, bandwidth = measure_peak(device, dtype), measure_bandwidth(device)

    def result(engine: str, size: int, seconds: float, tokens: list[list[int]], count: int) -> dict[str, Any]:
        rate = count / seconds
        same = [mine == theirs for mine, theirs in zip(tokens, reference or tokens, strict=False)]
        return {
            "engine": engine,
            "size": size,
            "images_per_s": rate,
            "peak_share": rate * shape.operations(mean) / peak,
            "roofline_share": rate / bound(shape, peak, bandwidth, size, mean, dtype.itemsize),
            "same_share": sum(same) / len(same),
            "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9 if is_gpu else None,
        }

    yield {"device": torch.cuda.get_device_name() if is_gpu else "cpu", "shape": options.shape, "mean_tokens": mean}
    yield {"peak_tflops": peak / 1e12, "bandwidth_gb_per_s": bandwidth / 1e9, "images": options.images}
    reference: list[list[int]] = []
    for size in options.batches:
        # The first batches are enough to know the rate of all.
        count = min(options.images, max(size, options.images // 4))
        run_generate(model, ids, pixels[:size], [2] * min(size, len(pixels)), size)
        seconds, tokens = _clock(
            lambda size=size, count=count: run_generate(model, ids, pixels[:count], lengths[:count], size),  # type: ignore[misc]
            options.rounds,
            device,
        )
        yield result("generate", size, seconds, tokens, count)
        reference = reference or tokens
    prompt = Prompt(tuple(ids), ids.index(made.IMAGE_TOKEN))
    engine = _EngineOfLengths(
        model, [END_TOKEN], slots=options.slots[0], max_prompt=len(ids), max_new_tokens=MAX_TOKENS, use_graph=is_gpu
    )
    for size in options.slots:
        engine.resize(size)
        scheduler = SlotScheduler(engine, options.group or max(1, min(16, size // 4)))
        run_slots(scheduler, prompt, pixels[:size], [2] * min(size, len(pixels)))
        before = (engine.counts.live_slot_steps, engine.counts.slot_steps)
        seconds, tokens = _clock(lambda: run_slots(scheduler, prompt, pixels, lengths), options.rounds, device)  # noqa: B023
        live, steps = (
            now - then
            for now, then in zip((engine.counts.live_slot_steps, engine.counts.slot_steps), before, strict=True)
        )
        yield {**result("slots", size, seconds, tokens, options.images), "occupancy": live / steps}
        scheduler.close()


def summarise(results: list[dict[str, Any]]) -> str:
    """The one line: each rate, and the engine's best against `generate` at its largest batch and at the same size."""
    rates = {(r["engine"], r["size"]): r for r in results if "engine" in r}
    parts = []
    for (engine, size), r in rates.items():
        text = f"{engine} {size}: {r['images_per_s']:.1f}/s"
        details = [f"{100 * r['peak_share']:.0f} % of peak", f"{100 * r['roofline_share']:.0f} % of roofline"]
        if "occupancy" in r:
            details += [f"occupancy {r['occupancy']:.2f}", f"same {100 * r['same_share']:.0f} %"]
        parts.append(f"{text} ({', '.join(details)})")
    best = max((r for r in rates.values() if r["engine"] == "slots"), key=lambda r: r["images_per_s"])
    for (engine, size), r in rates.items():
        if engine == "generate":
            parts.append(f"best / generate {size}: {best['images_per_s'] / r['images_per_s']:.2f}x")
            if ("slots", size) in rates:
                ratio = rates["slots", size]["images_per_s"] / r["images_per_s"]
                parts.append(f"slots {size} / generate {size}: {ratio:.2f}x")
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
    parser.add_argument("--rounds", type=int, default=1 if is_gpu else 3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_args(arguments)


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints the results, the last line all in one."""
    options = read_options(arguments)
    results = []
    for result in compare(options):
        results.append(result)
        print(json.dumps(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print(summarise(results))


if __name__ == "__main__":
    main()
