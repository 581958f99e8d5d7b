"""Kills the real command again and again: ``python -m tests.benchmarks.kill --kills=20 --rows=20000``.

Each mode in turn: killed at random moments, with its workers or alone, and started again. Fails if the final files
differ in a byte from those of an undisturbed run of one worker, or if something unfinished lies beneath them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests import their helpers as `support`

from support.kills import CommandRun, kill_and_resume
from support.recap_runs import assert_accounts, final_bytes
from support.shards import jpeg, write_parquet

_MODES = (("in_memory", 1, False), ("multi_threading", 2, False), ("multi_processing", 2, False))
_ALONE = ("multi_processing", 2, True)
_SHARDS = 4


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each mode")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--captioner", default="none", help="as of the command; with one, rows take far longer")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), options)


def _run(folder: Path, options: argparse.Namespace) -> int:
    _write_shards(folder, options.rows, options.seed)
    flags = [
        f"--input={folder}/in-*.parquet",
        f"--captioner={options.captioner}",
        "--clip_model=none",
        "--allow_local_files=true",
        "--extra_columns=true",
        "--unit_rows=1000",
        f"--rows_per_file={max(1, options.rows // 10)}",
    ]
    started = time.monotonic()
    quiet = CommandRun(folder / "said", [*flags, f"--output={folder}/quiet"])
    if quiet.wait(3600):
        print(quiet.said.read_text(), file=sys.stderr)
        return 1
    quiet_s = time.monotonic() - started
    expected = final_bytes(folder / "quiet")
    print(f"undisturbed: {options.rows} rows in {quiet_s:.1f} s", flush=True)

    def check(output: Path) -> None:
        assert final_bytes(output) == expected, "the final files differ"
        assert_accounts(output, options.rows)
        left = list(output.rglob(".tmp-*"))
        assert not left, f"unfinished files are left: {left}"

    for mode, workers, main_only in (*_MODES, _ALONE):
        own = [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
        label = f"{mode}, {workers} workers{', only the command itself' if main_only else ''}"
        place = folder / f"{mode}-{main_only}"
        place.mkdir()
        try:
            killed = kill_and_resume(
                lambda output, own=own: CommandRun(folder / "said", [*flags, *own, f"--output={output}"]),
                place,
                check,
                kills=options.kills,
                seed=options.seed,
                quiet_s=quiet_s,
                main_only=main_only,
            )
        except AssertionError as error:
            print(f"FAILED: {label}: {error}", flush=True)
            return 1
        moments = ", ".join(f"{name}: {count}" for name, count in killed.items())
        print(f"ok: {label}: killed {killed.total()} times ({moments}), the same bytes", flush=True)
    return 0


def _write_shards(folder: Path, rows: int, seed: int) -> None:
    """Rows that name pictures in the folder; some are broken or not there."""
    names = [f"{folder}/{number}.jpg" for number in range(50)]
    for number, name in enumerate(names):
        Path(name).write_bytes(jpeg(64 + number, 64, (5 * number, 100, 200)))
    (folder / "broken.jpg").write_bytes(b"no picture")
    names += [f"{folder}/broken.jpg", f"{folder}/missing.jpg"]
    chance = random.Random(seed)
    for number in range(_SHARDS):
        count = rows // _SHARDS + (number < rows % _SHARDS)
        columns = {"url": chance.choices(names, k=count), "text": [f"text {number}, {row}" for row in range(count)]}
        write_parquet(folder / f"in-{number}.parquet", columns)


if __name__ == "__main__":
    sys.exit(main())
