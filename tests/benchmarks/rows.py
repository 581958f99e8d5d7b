"""Whether memory is flat and cost is linear in the number of rows: ``python -m tests.benchmarks.rows``. Linux only.

The main job as it is (``pipelines.recap``, preset ``recap``) on Parquet shards of 10,000 rows, each with a caption of
its own and the path of one of 1,000 small drawn photographs: they are matched, planned, read, decoded, captioned,
scored, checkpointed, written and summed up as ever. Only the captioner and CLIP are stand-ins that take next to no
time. Each run has a process of its own, with one worker on the in-process runner.

* Memory: the peak of the process, as the kernel saw it.
* Time per row: what a run takes beyond one of 64 rows, for each row beyond those; that takes off what every run pays
  once, such as imports and first calls. The CPU time of all threads decides, wall time is shown beside it.
* Small sizes run more often, in turn, and medians count; ``noise`` is how far apart the runs of the smallest size were.
* The criterion is largest / smallest of at most 1.15 for both.
* Any other flag is given to the job: ``--drop_duplicate_rows=true`` measures de-duplication, too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.checks import Check, report

_ROOT = Path(__file__).parents[2]
_STARTUP_ROWS = 64
_SHARD_ROWS = 10_000
_PICTURES = 1000
_SIDE = 96  # px
_MAX_RATIO = 1.15
_MIN_RUNS, _MAX_RUNS, _ROWS_OF_A_SIZE = 1, 5, 20_000  # a size runs until it has had so many rows
_WORDS = ("red", "house", "near", "the", "old", "harbour", "photo", "of", "dog", "with", "blue", "sky", "for", "sale")


@dataclass(frozen=True)
class Run:
    """What one run took: seconds from its flags to its end, and bytes of its process's resident memory.

    ``start_bytes`` is before the run; most libraries are loaded later.
    """

    rows: int
    cpu_s: float
    wall_s: float
    start_bytes: int
    peak_bytes: int


def make_input(folder: Path, rows: int) -> Path:
    """A folder of shards whose pictures are files beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = draw_pictures(folder / "pictures", min(rows, _PICTURES))
    shards = folder / f"rows-{rows}"
    shards.mkdir(parents=True)
    chance = random.Random(rows)
    for start in range(0, rows, _SHARD_ROWS):
        numbers = range(start, min(rows, start + _SHARD_ROWS))
        columns = {
            "url": [str(pictures[number % len(pictures)]) for number in numbers],
            "caption": [f"{' '.join(chance.choices(_WORDS, k=chance.randint(4, 20)))} {number}" for number in numbers],
        }
        pq.write_table(pa.table(columns), shards / f"{start // _SHARD_ROWS:05d}.parquet")
    return shards


def draw_pictures(folder: Path, count: int) -> list[Path]:
    """Small JPEGs; those that are there already stay."""
    import numpy as np
    from PIL import Image

    from tests.support.web_corpus import draw_photograph

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            pixels = draw_photograph(np.random.default_rng(number), _SIDE, _SIDE * 3 // 4)
            Image.fromarray(np.asarray(pixels, np.uint8)).save(path, quality=85)
    return paths


def measure_here(shards: Path, rows: int, flags: Sequence[str]) -> Run:
    """Runs the job in this process, which should be a new one."""
    from pipelines.recap import run as run_recap
    from tests.benchmarks.light_models import light_models

    with tempfile.TemporaryDirectory(dir=shards.parent) as output, light_models():
        start_bytes, cpu_s, wall_s = _memory("VmRSS"), time.process_time(), time.perf_counter()
        run_recap(
            [
                *("--runner=DirectRunner", "--preset=recap", f"--input={shards}", f"--output={output}/out"),
                *("--allow_local_files=true", "--unit_rows=2000"),
                *flags,
            ]
        )
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        done = json.loads(Path(output, "out", "summary.json").read_text())["counts"]
    if done["rows"] != rows or not done["kept"]:
        raise RuntimeError(f"of {rows} rows the job did {done}")
    return Run(rows, cpu_s, wall_s, start_bytes, _memory("VmHWM"))


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def measure(shards: Path, rows: int, flags: Sequence[str]) -> Run:
    """Runs the job in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.rows", f"--rows={rows}", f"--shards={shards}", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"a run of {rows} rows ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def runs_of(sizes: Sequence[int]) -> list[int]:
    """The sizes of all runs in their order: in turn, the largest once and small ones several times."""
    left = {rows: min(_MAX_RUNS, max(_MIN_RUNS, _ROWS_OF_A_SIZE // rows)) for rows in (_STARTUP_ROWS, *sorted(sizes))}
    order: list[int] = []
    while any(left.values()):
        for rows in left:
            if left[rows]:
                order.append(rows)
                left[rows] -= 1
    return order


def judge(runs: Sequence[Run]) -> tuple[list[Check], str]:
    """The checks, and the numbers behind them in words."""
    sizes = sorted({run.rows for run in runs} - {_STARTUP_ROWS})
    peaks = {rows: _median(runs, rows, lambda run: run.peak_bytes) for rows in sizes}
    cpu, wall = (
        {rows: (_median(runs, rows, of) - _median(runs, _STARTUP_ROWS, of)) / (rows - _STARTUP_ROWS) for rows in sizes}
        for of in (lambda run: run.cpu_s, lambda run: run.wall_s)
    )
    checks = [
        Check("peak memory, largest / smallest", max(peaks.values()) / min(peaks.values()), _MAX_RATIO),
        Check("CPU time per row, largest / smallest", _ratio(cpu), _MAX_RATIO),
    ]
    same = [run.cpu_s for run in runs if run.rows == sizes[0]]
    parts = [
        f"{rows} rows {peaks[rows] / 2**20:.0f} MiB, {1000 * cpu[rows]:.3f} ms of CPU time a row "
        f"({1000 * wall[rows]:.3f} ms)"
        for rows in sizes
    ]
    startup = _median(runs, _STARTUP_ROWS, lambda run: run.cpu_s)
    grown = (peaks[sizes[-1]] - peaks[sizes[0]]) / max(1, sizes[-1] - sizes[0])
    parts += [
        f"start-up {startup:.1f} s",
        f"{grown:.0f} bytes more a row",
        f"wall time per row, largest / smallest {_ratio(wall):.3g}",
        f"noise {max(same) / min(same):.3g} among {len(same)} runs",
    ]
    return checks, ", ".join(parts)


def _ratio(values: dict[int, float]) -> float:
    least = min(values.values())
    return max(values.values()) / least if least > 0 else float("nan")


def _median(runs: Sequence[Run], rows: int, of: Callable[[Run], float]) -> float:
    return median(of(run) for run in runs if run.rows == rows)


def read_options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own flags, and those of the job."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.rows", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=_sizes, default="2000,20000,200000", help="the sizes, separated by commas")
    parser.add_argument("--shards", type=Path, help=argparse.SUPPRESS)  # a process of ours: measure one run
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_known_args(arguments)


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in text.split(",")]
    if not sizes or min(sizes) <= 0:
        raise ValueError(text)
    return sizes


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it and prints one line; 1 if a criterion is not met."""
    options, flags = read_options(arguments)
    if options.shards is not None:
        print(json.dumps(asdict(measure_here(options.shards, options.rows[0], flags))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        shards = {rows: make_input(Path(name), rows) for rows in {_STARTUP_ROWS, *options.rows}}
        runs = []
        for rows in runs_of(options.rows):
            runs.append(measure(shards[rows], rows, flags))
            print(f"{time.strftime('%H:%M:%S')} {runs[-1]}", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))
    return report("rows", *judge(runs))


if __name__ == "__main__":
    sys.exit(main())
