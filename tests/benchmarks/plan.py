"""Whether a plan is right: ``python -m tests.benchmarks.plan``. Linux only.

Plans a job on drawn rows (`tests.support.plan_rows`: tables and tars; tiny models) from a sample, and then runs it,
each in a process of its own. Printed is predicted / true for rows, bytes and seconds. The criterion is 15 % for each of
them. Most of what fails lies in the first third of the rows: a sample of the head would be far off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Cost, run_measured

_ROOT = Path(__file__).parents[2]
_WITHIN = 0.15
_TIMEOUT_S = 3600


def main(argv: Sequence[str]) -> int:
    """Returns 0 if everything is right, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--sample_rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments, flags = parser.parse_known_args(argv)
    sys.path.insert(0, str(_ROOT / "tests"))
    from support.plan_rows import FLAGS, write_rows

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    os.chdir(_ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_rows(folder, arguments.rows, arguments.seed)
        words = [f"--input={shards}", f"--output={folder / 'out'}", *FLAGS, *flags]
        plan = [sys.executable, "-m", "pipelines.plan", *words, f"--sample_rows={arguments.sample_rows}"]
        plan += [f"--seed={arguments.seed}", f"--json={folder / 'plan.json'}"]
        planned = run_measured([plan], environment, _TIMEOUT_S)
        facts = json.loads((folder / "plan.json").read_text())
        done = run_measured([[sys.executable, "-m", "pipelines.recap", *words]], environment, _TIMEOUT_S)
        rows = compare(facts, folder / "out", done)
    print(
        f"{arguments.rows} rows, planned from {arguments.sample_rows} in {planned.wall_s:.0f} s, "
        f"done in {done.wall_s:.0f} s"
    )
    print(f"{'':32}{'predicted':>14}{'true':>14}{'ratio':>8}")
    for label, predicted, true in rows:
        print(f"{label:32}{predicted:14,.4g}{true:14,.4g}{predicted / true:8.3f}")
    return int(any(abs(predicted / true - 1) > _WITHIN for _, predicted, true in rows))


def compare(facts: dict[str, Any], output: Path, done: Cost) -> list[tuple[str, float, float]]:
    """What was predicted and what came out: (what, predicted, true)."""
    told = json.loads((output / "summary.json").read_text())
    stages = {stage["stage"]: stage for stage in told["counts"]["by_stage"]}
    rows = [
        ("rows", facts["rows"]["total"]["estimate"], told["counts"]["rows"]),
        ("rows captioned", facts["rows"]["captioned"]["estimate"], stages["caption"]["rows_in"]),
        ("rows kept", facts["rows"]["kept"]["estimate"], told["counts"]["kept"]),
    ]
    for folder in ("data", "rejected"):
        size = sum(path.stat().st_size for path in (output / folder).iterdir())
        rows.append((f"bytes of {folder}/", facts["bytes"][folder]["estimate"], size))
    size = sum(path.stat().st_size for path in (output / "_checkpoint/outcomes").rglob("*.parquet"))
    rows.append(("bytes of the checkpoint", facts["bytes"]["checkpoint"]["estimate"], size))
    here = facts["this_machine"]
    rows.append(("CPU seconds, start included", here["cpu_s"]["estimate"], done.cpu_s))
    rows.append(("wall seconds, start included", 3600 * here["hours"]["estimate"], done.wall_s))
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
