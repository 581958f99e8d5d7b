"""Fuzzes the decoder for a while: ``python tests/benchmarks/fuzz_decoder.py --seconds=600 --seed=1``.

Damaged files of all formats go through `decode_image` in a child process under a memory limit, so that a crash of a C
library, a file that takes too long and one that takes too much memory are found like an exception is. What is found is
saved, and the run goes on behind it. Prints one line of JSON; exits with 1 if something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_KB_PER_MB = 1024


def main() -> int:
    """Runs children until the time is over; each goes on where the last one ended."""
    arguments = _parse()
    if arguments.child:
        return _fuzz(arguments)
    findings: list[str] = []
    total = {"files": 0, "pictures": 0, "peak_mb": 0}
    number, end = 0, time.monotonic() + arguments.seconds
    while (left := end - time.monotonic()) > 0.5 and len(findings) < arguments.stop_after:
        number, found = _run_child(arguments, number, left, total)
        if found:
            findings.append(_save(arguments, number, found))
        number += 1
    print(json.dumps({"seed": arguments.seed, **total, "findings": len(findings), "saved": findings}))
    return 1 if findings else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to run")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other files")
    parser.add_argument("--findings", default="fuzz-findings", help="where files are saved that break something")
    parser.add_argument("--stop_after", type=int, default=20, help="findings")
    parser.add_argument("--file_seconds", type=float, default=10.0, help="a file that takes longer is a finding")
    parser.add_argument("--memory_mb", type=int, default=3000, help="address space of the child")
    parser.add_argument("--peak_mb", type=int, default=500, help="memory of the child that makes a file a finding")
    parser.add_argument("--prelude", help="a Python file to run in the child first; to test this script")
    parser.add_argument("--child", type=int, nargs="?", help=argparse.SUPPRESS)  # a descriptor to report to
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_child(arguments: argparse.Namespace, first: int, seconds: float, total: dict[str, Any]) -> tuple[int, str]:
    """One child from file `first` on: the number of its last file, and what went wrong with it ("" if nothing)."""
    reading, writing = os.pipe()
    passed = [f"--{name}={getattr(arguments, name)}" for name in ("seed", "memory_mb", "peak_mb")]
    passed += [f"--prelude={arguments.prelude}"] if arguments.prelude else []
    command = [sys.executable, __file__, *passed, f"--seconds={seconds}", f"--first={first}", f"--child={writing}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    child = subprocess.Popen(command, pass_fds=[writing], stderr=errors, env=environment)
    os.close(writing)
    os.set_blocking(reading, False)
    number, told, began, text = first, time.monotonic(), time.monotonic(), b""
    trouble = ""
    while True:
        ended = child.poll() is not None
        try:
            block = os.read(reading, 1 << 16)
        except BlockingIOError:
            block = b""
        lines = (text + block).split(b"\n")
        text = lines.pop()
        for line in lines:
            number, is_picture, peak = (int(part) for part in line.split())
            told = time.monotonic()
            if is_picture >= 0:  # -1: it begins
                total["files"] += 1
                total["pictures"] += is_picture
                total["peak_mb"] = max(total["peak_mb"], peak)
        if ended and not block:
            break
        if time.monotonic() - max(told, began + 5) > arguments.file_seconds:
            trouble = "hangs"
            child.kill()
            child.wait()
            break
        if not block:
            time.sleep(0.01)
    os.close(reading)
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    errors.close()
    if not trouble and child.returncode:
        trouble = said[-1] if child.returncode == 1 and said else f"ended with {child.returncode}"
    return number, trouble


def _save(arguments: argparse.Namespace, number: int, trouble: str) -> str:
    from support.mutations import make_seeds, mutate

    folder = Path(arguments.findings)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed{arguments.seed}-{number}.bin"
    path.write_bytes(mutate(make_seeds(), arguments.seed, number))
    print(f"{path}: {trouble}", file=sys.stderr)
    return f"{path.name}: {trouble}"[:200]


def _fuzz(arguments: argparse.Namespace) -> int:
    """The child: decodes file after file, and says before and after each which one it is."""
    resource.setrlimit(resource.RLIMIT_AS, (arguments.memory_mb << 20, arguments.memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    if arguments.prelude:
        runpy.run_path(arguments.prelude)
    from support import decoder_checks
    from support.mutations import make_seeds, mutate

    seeds, number, end = make_seeds(), arguments.first, time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        os.write(arguments.child, b"%d -1 0\n" % number)
        is_picture = decoder_checks.check_decoder(
            mutate(seeds, arguments.seed, number), decoder_checks.settings_for(number)
        )
        peak = _peak_mb()
        if peak > arguments.peak_mb:
            raise MemoryError(f"{peak} MB")
        os.write(arguments.child, b"%d %d %d\n" % (number, is_picture, peak))
        number += 1
    return 0


def _peak_mb() -> int:
    """Most memory this process ever had; getrusage's counts that of the process which started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // _KB_PER_MB


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    sys.exit(main())
