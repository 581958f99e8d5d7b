"""Runs a module of `support` that starts worker processes, and reads what these have noted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_noted(module: str, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """``python -m support.MODULE ARGUMENTS NOTES`` in a folder of its own; its notes, a JSON object a line."""
    notes = folder / "noted.jsonl"
    finished = subprocess.run(
        [sys.executable, "-m", f"support.{module}", *arguments, str(notes)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return [json.loads(line) for line in notes.read_text().splitlines()]
