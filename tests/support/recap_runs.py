"""Runs the main job as a user does, and reads what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]


def run_command(*flags: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """``python -m pipelines.recap`` with these flags."""
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", *flags]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, env=environment)


def run_here(*flags: str) -> int:
    """The same in this process, where a test can replace parts; returns the exit status."""
    from pipelines.recap import main

    return main(["--runner=DirectRunner", *flags])


def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / "summary.json").read_text())


def kept(output: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((output / "data").glob("train-*.parquet")))


def rejected(output: Path) -> list[dict[str, Any]]:
    paths = sorted((output / "rejected").glob("part-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def reasons(output: Path) -> Counter[str]:
    return Counter(row["reason"] for row in rejected(output))


def final_bytes(output: Path) -> dict[str, bytes]:
    """The final files that must be equal between runs, by name."""
    paths = [*(output / "data").iterdir(), *(output / "rejected").iterdir()]
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}


def assert_accounts(output: Path, rows: int) -> None:
    """Every row has exactly one outcome, in the files as in the summary."""
    counts = summary(output)["counts"]
    places = (
        [(row["source_unit"], row["source_index"]) for row in kept(output).to_pylist()] if _has_places(output) else []
    )
    assert counts["rows"] == rows
    assert counts["kept"] == kept(output).num_rows
    assert counts["rejected"] == len(rejected(output))
    assert counts["kept"] + counts["rejected"] == rows
    assert len(set(places)) == len(places)


def _has_places(output: Path) -> bool:
    return "source_unit" in kept(output).column_names
