"""The text filter, compared with RapidOCR called plainly: ``python -m tests.benchmarks.ocr``.

Both see the same decoded pictures and have the same models (PP-OCRv6 small of rapidocr 3.10.0) on one thread each.

* Ours is `TextSpotter` as the filter uses it: the longer side at 736 px, its gate, and no further reading once a text
  is found. ``full`` is the same reading every text, as the audit does.
* The peer is ``RapidOCR()(picture)`` with its own defaults: the shorter side at least 736 px, each box turned upright,
  all boxes read, six at a time.
* Cost is CPU time. The sides take turns; a ratio is the median of the rounds' ratios.
* ``found``: pictures in which a side sees text. Where none is, these are false alarms.
* Kinds: drawn pictures with the statistics of the web's, without text and with lines of it; and real photographs, if
  there is a folder of them (``--photos``, with a manifest.csv of file and label: text or notext).
* ``demonstration``: what share of the CPU time per row OCR takes in the main job's demonstration, beyond start-up.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from beam_recap.ocr import OCRSettings
from beam_recap.ocr.text_spotter import TextSpotter
from tests.support.web_corpus import draw_photograph

_PHOTOS = Path(__file__).parents[2] / ".." / "shared" / "data" / "photos"
_SIZES = ((640, 480), (800, 600), (480, 640), (1024, 683), (500, 500))  # px, as pictures on the web have them
_LINES = ("SUMMER SALE", "Grand opening", "50 % OFF today", "Fresh coffee daily", "No parking", "Happy birthday Anna")

Spot = Callable[[np.ndarray], bool]


@dataclass
class Side:
    """One way to look for text, and what it took of each kind, round by round."""

    spot: Spot
    seconds: dict[str, list[float]] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)

    def run(self, kind: str, pictures: Sequence[np.ndarray]) -> None:
        started = time.process_time()
        found = sum(self.spot(picture) for picture in pictures)
        self.seconds.setdefault(kind, []).append(time.process_time() - started)
        self.found[kind] = found


def make_sides(*, with_peer: bool) -> dict[str, Side]:
    gate, full = TextSpotter(), TextSpotter(OCRSettings(full_text=True))
    sides = {"ours": Side(lambda rgb: gate.spot(rgb).has_text), "full": Side(lambda rgb: full.spot(rgb).has_text)}
    if with_peer:
        from rapidocr import RapidOCR

        threads = {f"EngineConfig.onnxruntime.{name}_op_num_threads": 1 for name in ("intra", "inter")}
        peer = RapidOCR(params=threads)
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)  # else it says so of each picture without text
        sides["rapidocr"] = Side(lambda rgb: bool(peer(np.ascontiguousarray(rgb[:, :, ::-1])).txts))
    return sides


def draw_pictures(count: int, *, with_text: bool, seed: int = 0) -> list[np.ndarray]:
    """Drawn photographs, uint8 ``[H, W, 3]``, with one to four lines of text or none."""
    chance, numbers = random.Random(seed), np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        pixels = draw_photograph(numbers, *_SIZES[number % len(_SIZES)])
        image = Image.fromarray(np.asarray(pixels, np.uint8))
        if with_text:
            _write(image, chance)
        pictures.append(np.asarray(image))
    return pictures


def _write(image: Image.Image, chance: random.Random) -> None:
    draw = ImageDraw.Draw(image)
    for line in range(chance.randint(1, 4)):
        font = ImageFont.load_default(size=chance.randint(22, 48))
        place = (chance.randint(10, 60), 20 + line * image.height // 4)
        draw.text(place, chance.choice(_LINES), font=font, fill="white", stroke_width=3, stroke_fill="black")


def read_photos(folder: Path, count: int) -> dict[str, list[np.ndarray]]:
    """Real photographs by their label."""
    kinds: dict[str, list[np.ndarray]] = {}
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            same = kinds.setdefault("photos, text" if row["label"] == "text" else "photos, no text", [])
            if len(same) < count:
                same.append(np.asarray(Image.open(folder / row["file"]).convert("RGB")))
    return kinds


def compare(sides: dict[str, Side], kinds: dict[str, list[np.ndarray]], rounds: int) -> dict[str, dict[str, float]]:
    """Pictures per second of one core, and the ratios of the sides, by kind."""
    for side in sides.values():  # not counted: a session's first run allocates
        side.spot(next(iter(kinds.values()))[0])
    for number in range(rounds):
        turns = list(sides.values()) if number % 2 == 0 else list(reversed(sides.values()))
        for kind, pictures in kinds.items():
            for side in turns:
                side.run(kind, pictures)
        _log(f"round {number + 1} of {rounds}")
    figures: dict[str, dict[str, float]] = {}
    for kind, pictures in kinds.items():
        row: dict[str, float] = {"pictures": len(pictures)}
        for name, side in sides.items():
            row[f"{name}_per_s"] = len(pictures) / median(side.seconds[kind])
            row[f"{name}_found"] = side.found[kind]
            if "rapidocr" in sides and name != "rapidocr":
                pairs = zip(sides["rapidocr"].seconds[kind], side.seconds[kind], strict=True)
                row[f"{name}_ratio"] = median(theirs / ours for theirs, ours in pairs)
        figures[kind] = row
    return figures


def measure_demonstration(rounds: int) -> dict[str, float]:
    """CPU time per row of the demonstration beyond start-up, and OCR's part of it; medians of rounds."""
    spent = 0.0
    spot = TextSpotter.spot

    def spot_measured(spotter: TextSpotter, rgb: np.ndarray) -> Any:
        nonlocal spent
        started = time.thread_time()  # the engine computes in the thread that asks
        try:
            return spot(spotter, rgb)
        finally:
            spent += time.thread_time() - started

    def run(max_rows: int) -> tuple[float, float, int]:
        nonlocal spent
        from pipelines.recap import run as run_recap

        with tempfile.TemporaryDirectory() as folder:
            spent, started = 0.0, time.process_time()
            run_recap(["--runner=DirectRunner", f"--output={folder}/out", f"--max_rows={max_rows}"])
            rows = json.loads(Path(folder, "out", "summary.json").read_text())["counts"]["rows"]
            return time.process_time() - started, spent, rows

    TextSpotter.spot = spot_measured  # type: ignore[method-assign]
    try:
        run(2)  # not counted: imports
        found = []
        for _ in range(rounds):
            few, many = run(2), run(10**6)
            rows = many[2] - few[2]
            found.append(((many[0] - few[0]) / rows, (many[1] - few[1]) / rows))
    finally:
        TextSpotter.spot = spot  # type: ignore[method-assign]
    return {
        "row_ms": 1000 * median(total for total, _ in found),
        "ocr_ms": 1000 * median(ocr for _, ocr in found),
        "ocr_share": median(ocr / total for total, ocr in found),
    }


def describe(figures: dict[str, dict[str, float]], demonstration: dict[str, float] | None) -> str:
    """The one line."""
    words = []
    for kind, row in figures.items():
        count = int(row["pictures"])
        text = f"{kind} {row['ours_per_s']:.1f}/s (full {row['full_per_s']:.1f}/s"
        if "ours_ratio" in row:
            text = (
                f"{kind} {row['ours_ratio']:.2f}x, full {row['full_ratio']:.2f}x ({row['ours_per_s']:.1f}/s and "
                f"{row['full_per_s']:.1f}/s for {row['rapidocr_per_s']:.1f}/s"
            )
        found = ", ".join(f"{int(row[name])}" for name in ("ours_found", "rapidocr_found") if name in row)
        words.append(f"{text}; found {found} of {count})")
    if demonstration is not None:
        words.append(
            f"demonstration: OCR {100 * demonstration['ocr_share']:.0f} % of CPU time "
            f"({demonstration['ocr_ms']:.0f} of {demonstration['row_ms']:.0f} ms per row)"
        )
    return "ocr: " + ", ".join(words)


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.ocr", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16, help="of each kind, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=Path, default=_PHOTOS, help="folder of real photographs")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--demonstration", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints one line."""
    options = read_options(arguments)
    kinds = {
        "drawn, no text": draw_pictures(options.images, with_text=False),
        "drawn, text": draw_pictures(options.images, with_text=True),
    }
    if (options.photos / "manifest.csv").exists():
        kinds |= read_photos(options.photos, options.images)
    figures = compare(make_sides(with_peer=options.peer), kinds, options.rounds)
    demonstration = measure_demonstration(options.rounds) if options.demonstration else None
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "demonstration": demonstration}, indent=1))
    print(describe(figures, demonstration))


if __name__ == "__main__":
    main()
