"""What two worker processes do on two cores, against one: ``python -m tests.benchmarks.cores``.

The main job as users start it (``python -m pipelines.recap``, preset ``recap-debiased``) on tars of drawn scenes, with
the demonstration's models: most of the time goes into looking for text, and all of it into the processor.

* ``one``: one worker, in the process of the command, as without any flag.
* ``one_process``: one worker in a process of its own (``--direct_running_mode=multi_processing``).
* ``two``: ``--direct_num_workers=2 --direct_running_mode=multi_processing``.
* Wall time of the whole command counts, with process start, loading of models and final files. The sides take turns; a
  round's speed-up is the wall time of ``one`` over that of ``two``, and the median of the rounds is checked.
* ``beyond start-up``: the same, with a run of 16 rows taken off each side.
* ``cores in use``: CPU time of all processes over wall time.
* All sides must leave the same final files, byte for byte.
* Nothing else should run meanwhile; ``--rows`` says how long it takes: about 0.2 s a row for a round of all sides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests.benchmarks.checks import Check, report
from tests.benchmarks.measure import Cost, run_measured

_SIDES: dict[str, tuple[str, ...]] = {
    "one": (),
    "one_process": ("--direct_num_workers=1", "--direct_running_mode=multi_processing"),
    "two": ("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
}
_MIN_SPEED_UP = 1.6
_STARTUP_ROWS = 16
_TARS = 8
_TIMEOUT_S = 3600

Costs = dict[str, list[Cost]]


class Differs(RuntimeError):
    """The sides left different files, so their times cannot be compared."""


def make_input(folder: Path, rows: int) -> Path:
    """A folder of tars of drawn scenes, of about equal size."""
    from beam_recap.demo.shard import make_shard

    shards = folder / f"rows-{rows}"
    for number in range(_TARS):
        share = rows // _TARS + (number < rows % _TARS)
        if share:
            make_shard(shards / f"{number:05d}.tar", rows=share, seed=number)
    return shards


def run_sides(shards: Path, flags: Sequence[str], sides: Sequence[str]) -> dict[str, Cost]:
    """Runs each side's command once."""
    costs, digests = {}, {}
    for side in sides:
        output = shards.parent / f"{side}-{time.monotonic_ns()}"
        command = [
            *(sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", "--preset=recap-debiased"),
            *(f"--input={shards}", f"--output={output}", *_SIDES[side], *flags),
        ]
        costs[side] = run_measured([command], {**os.environ, "HF_HUB_OFFLINE": "1"}, _TIMEOUT_S)
        digests[side] = digests_of(output)
        print(f"{time.strftime('%H:%M:%S')} {side}: {costs[side]}", file=sys.stderr, flush=True)
    check_same(digests)
    return costs


def digests_of(output: Path) -> dict[str, str]:
    """Final files by name."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("data", "rejected")
        for path in sorted((output / folder).iterdir())
    }


def check_same(digests: Mapping[str, Mapping[str, str]]) -> None:
    """Raises `Differs` unless all sides left the same files, and any at all."""
    (first, files), *others = digests.items()
    if not files:
        raise Differs(f"{first} left no files")
    for side, theirs in others:
        if different := sorted(name for name in {*files, *theirs} if files.get(name) != theirs.get(name)):
            raise Differs(f"{first} and {side} left different {', '.join(different)}")


def judge(costs: Costs, startup: Mapping[str, Cost]) -> tuple[list[Check], str]:
    """The check, and the numbers behind it in words.

    Args:
      costs: of each side, round by round.
      startup: of each side, with few rows.
    """

    def speed_up(of: str, off: Mapping[str, float]) -> list[float]:
        pairs = [
            (mine.wall_s - off[of], two.wall_s - off["two"]) for mine, two in zip(costs[of], costs["two"], strict=True)
        ]
        return [mine / two if two > 0 else float("nan") for mine, two in pairs]

    nothing, start = dict.fromkeys(costs, 0.0), {side: cost.wall_s for side, cost in startup.items()}
    whole = speed_up("one", nothing)
    details = [f"{min(whole):.3g} to {max(whole):.3g} in {len(whole)} rounds"]
    details.append(f"beyond start-up {median(speed_up('one', start)):.3g}")
    if "one_process" in costs:
        against = (median(speed_up("one_process", off)) for off in (nothing, start))
        details.append("against one_process {:.3g}, beyond start-up {:.3g}".format(*against))
    details += [
        f"{side} {median(cost.wall_s for cost in mine):.0f} s ({start[side]:.0f} s of it start-up, "
        f"{median(cost.cpu_s / cost.wall_s for cost in mine):.2f} cores in use, "
        f"{median(cost.total_bytes for cost in mine) / 2**30:.1f} GiB)"
        for side, mine in costs.items()
    ]
    return [Check("two workers / one", median(whole), _MIN_SPEED_UP, at_least=True)], ", ".join(details)


def read_options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own flags, and those of the job."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.cores", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sides", default=",".join(_SIDES), help="which to run: one, two, and one_process if wanted")
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_known_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it and prints one line; 1 if the criterion is not met."""
    options, flags = read_options(arguments)
    sides = [side for side in _SIDES if side in {"one", "two", *options.sides.split(",")}]
    costs: Costs = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        startup = run_sides(make_input(Path(name), _STARTUP_ROWS), flags, sides)
        shards = make_input(Path(name), options.rows)
        for number in range(options.rounds):
            turns = sides if number % 2 == 0 else sides[::-1]
            for side, cost in run_sides(shards, flags, turns).items():
                costs[side].append(cost)
    if options.json:
        numbers = {"rows": options.rows, "startup": startup, "costs": costs}
        options.json.write_text(json.dumps(numbers, indent=1, default=asdict))
    return report("cores", *judge(costs, startup))


if __name__ == "__main__":
    sys.exit(main())
