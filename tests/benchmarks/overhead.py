"""What Beam and our bookkeeping cost over a bare loop: ``python -m tests.benchmarks.overhead``.

* The job is ``pipelines.recap``, preset ``recap-debiased``, from a tar of drawn scenes to its last file: units, the
  stages with their counters, the checkpoint, de-duplication, the final files with digests, the summary and the report.
* The loop (`bare_loop`) calls the same functions on the same rows: it reads the tar, decodes, scores, looks for text,
  captions, checks and scores the captions. It keeps its results in memory and writes nothing.
* Both have the very same models in memory, the demonstration's tiny ones, and call them with the same batch sizes, in
  one process, torch on one thread. Both must keep the same rows, with the same captions and scores.
* The sides take turns. From each run one of few rows is taken off, which is what a run costs at all: the job's graph,
  its workers, its report. A round's ``overhead`` is the job's CPU time over the loop's, less 1; the median counts. Wall
  time is beside it, and the lowest and highest round.
* ``outside`` is the job's CPU time over what it spends inside its models and its decoder, less 1. Both come from the
  same seconds, so that it hardly depends on what else the machine does; reading, hashing and checking captions, which
  the loop does, too, count as overhead here.
* Thumbnails for the report, which only a run's first 200 rows have, count as overhead: few rows look dearer than many.
* Where the loop takes longer for a row, the same overhead is a smaller share: ``ms a row`` is what to compare.
  ``--ocr=none`` and any other flag is given to the job; the loop does the same.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from beam_recap.images import decode_image
from tests.benchmarks.bare_loop import BareLoop, Kept
from tests.benchmarks.checks import Check, report

_STARTUP_ROWS = 32
_MAX_OVERHEAD = 0.10
_CAPTION_ROWS = 64  # per call of the captioner: `LlavaModelHandler`'s own, where no batch size is given
_SAME_SCORE = 2e-5  # sums in another order, from another batch


class Differs(RuntimeError):
    """The sides did not do the same, so their costs cannot be compared."""


@dataclass(frozen=True)
class Round:
    """Seconds of each side beyond its start-up; ``inside_s`` of CPU time in the calls of the models and the decoder."""

    rows: int
    job_cpu_s: float
    job_wall_s: float
    job_inside_s: float
    loop_cpu_s: float
    loop_wall_s: float
    loop_inside_s: float


class Meter:
    """Adds up this process's CPU time inside some functions, which do not call each other."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, metered."""

        @functools.wraps(function)
        def metered(*arguments: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.process_time() - started

        return metered


class Sides:
    """The job and the loop on one tar, with the same models in memory.

    Args:
      tar: the input.
      folder: for outputs.
      flags: of the job.
    """

    def __init__(self, tar: Path, folder: Path, flags: Sequence[str] = ()) -> None:
        from beam_recap.model_refs import ModelRefs, ocr_settings
        from beam_recap.options import parse_options
        from pipelines.recap_stages import stages_of
        from transforms.shared_models import shared_model

        self._tar, self._folder, self._flags, self._runs = tar, folder, flags, 0
        self.kept_by_loop: dict[str, Kept] = {}  # when it last ran, by key
        config = parse_options(self._arguments(1)).config()
        stages: dict[str, Any] = dict(stages_of(config, ModelRefs.of(config)))

        def load_spotter() -> Any:
            from beam_recap.ocr.text_spotter import TextSpotter

            return TextSpotter(ocr_settings(config))

        # Where the job's stages look for them; they stay loaded as long as the loop holds them.
        self._loop = BareLoop(
            scorer=stages["ScoreCLIP"].load(),
            head=stages["AestheticFilter"].load(),
            spotter=None if config.ocr is None else shared_model(("ocr", ocr_settings(config)), load_spotter),
            captioner=stages["CaptionImage"].load(),
            prompt=config.caption_prompt,
            clip_rows=config.clip_batch_size,
            caption_rows=_CAPTION_ROWS,
            min_clip_score=config.min_clip_score,
            min_aesthetic_score=config.min_aesthetic_score,
        )
        self.meter = Meter()
        for model, name in (
            (self._loop.scorer, "score"),
            (self._loop.scorer, "score_captions"),
            (self._loop.head, "score"),
            (self._loop.spotter, "spot"),
            (self._loop.captioner, "caption"),
        ):
            if model is not None:
                setattr(model, name, self.meter(getattr(model, name)))
        self._decode = self.meter(decode_image)

    def run_loop(self, rows: int) -> None:
        """Runs the loop."""
        with mock.patch("tests.benchmarks.bare_loop.decode_image", self._decode):
            self.kept_by_loop = self._loop.run(self._tar, rows)

    def run_job(self, rows: int) -> None:
        """Runs the job, in a new directory."""
        from pipelines.recap import run

        self._runs += 1
        with mock.patch("transforms.fetch_image.decode_image", self._decode):
            run(self._arguments(rows))

    def kept_by_job(self) -> dict[str, Kept]:
        """What the job kept when it last ran, by key."""
        import pyarrow.parquet as pq

        names = ("org_caption", "sha256", "org_clip_score", "ase_scores", "re_caption", "re_clip_score")
        return {
            row["key"]: Kept(*(row[name] for name in names))
            for path in (self._output / "data").glob("*.parquet")
            for row in pq.read_table(path).to_pylist()
        }

    @property
    def _output(self) -> Path:
        return self._folder / f"out-{self._runs}"

    def _arguments(self, rows: int) -> list[str]:
        return [
            *("--runner=DirectRunner", "--preset=recap-debiased", f"--input={self._tar}", f"--output={self._output}"),
            # As in a large input; a small one is cut into smaller units, each of which costs some milliseconds.
            *("--unit_rows=2000", f"--max_rows={rows}", *self._flags),
        ]


def check_same(job: dict[str, Kept], loop: dict[str, Kept]) -> None:
    """Raises `Differs` unless both kept the same rows, and more than none."""
    if not loop or job.keys() != loop.keys():
        raise Differs(f"the job kept {len(job)} rows, the loop {len(loop)}, {len(job.keys() & loop.keys())} in common")
    for key, theirs in loop.items():
        for name, mine, other in zip(Kept._fields, job[key], theirs, strict=True):
            same = abs(mine - other) <= _SAME_SCORE if isinstance(other, float) else mine == other
            if not same:
                raise Differs(f"row {key}: {name} is {mine!r} in the job, {other!r} in the loop")


def measure(sides: Sides, rows: int, rounds: int) -> list[Round]:
    """Runs both sides in turn; the one that begins changes from round to round."""
    sides.run_job(_STARTUP_ROWS)  # not counted: imports and first calls
    sides.run_loop(_STARTUP_ROWS)
    found = []
    for number in range(rounds):
        turns: list[tuple[str, Callable[[int], object]]] = [("job", sides.run_job), ("loop", sides.run_loop)]
        spent: dict[str, float] = {}
        for name, run in turns if number % 2 == 0 else reversed(turns):
            few, many = _clock(run, _STARTUP_ROWS, sides.meter), _clock(run, rows, sides.meter)
            spent |= {f"{name}_{kind}": many[kind] - few[kind] for kind in many}
        found.append(Round(rows=rows - _STARTUP_ROWS, **spent))
        print(f"{time.strftime('%H:%M:%S')} {found[-1]}", file=sys.stderr, flush=True)
        check_same(sides.kept_by_job(), sides.kept_by_loop)
    return found


def _clock(run: Callable[[int], object], rows: int, meter: Meter) -> dict[str, float]:
    """Seconds of CPU time, of wall time, and of CPU time that the meter saw."""
    before = time.process_time(), time.perf_counter(), meter.seconds
    run(rows)
    after = time.process_time(), time.perf_counter(), meter.seconds
    return dict(zip(("cpu_s", "wall_s", "inside_s"), (b - a for a, b in zip(before, after, strict=True)), strict=True))


def judge(rounds: Sequence[Round]) -> tuple[list[Check], str]:
    """The checks, and the numbers behind them in words."""
    overheads = [one.job_cpu_s / one.loop_cpu_s - 1 for one in rounds]
    outside = [one.job_cpu_s / one.job_inside_s - 1 for one in rounds]
    wall = median(one.job_wall_s / one.loop_wall_s - 1 for one in rounds)
    job = 1000 * median(one.job_cpu_s / one.rows for one in rounds)
    loop = 1000 * median(one.loop_cpu_s / one.rows for one in rounds)
    beside = 1000 * median((one.job_cpu_s - one.job_inside_s) / one.rows for one in rounds)
    checks = [
        Check("overhead", median(overheads), _MAX_OVERHEAD),
        Check("outside", median(outside), _MAX_OVERHEAD),
    ]
    details = [
        f"overhead {min(overheads):.3g} to {max(overheads):.3g}, outside {min(outside):.3g} to {max(outside):.3g} in "
        f"{len(rounds)} rounds",
        f"overhead in wall time {wall:.3g}",
        f"{job:.2f} ms of CPU time a row for {loop:.2f} ms, {beside:.2f} ms outside",
    ]
    return checks, ", ".join(details)


def read_options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own flags, and those of the job."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=384, help=f"of a run; more than {_STARTUP_ROWS}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_known_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it and prints one line; 1 if the criterion is not met."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from beam_recap.demo.shard import make_shard

    options, flags = read_options(arguments)
    with tempfile.TemporaryDirectory() as name:
        tar = Path(name, "scenes.tar")
        make_shard(tar, rows=options.rows, seed=1)
        rounds = measure(Sides(tar, Path(name), flags), options.rows, options.rounds)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in rounds], indent=1))
    return report("overhead", *judge(rounds))


if __name__ == "__main__":
    sys.exit(main())
