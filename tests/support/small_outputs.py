"""Output directories with several output shards, made in a second or so, without models."""

from __future__ import annotations

from pathlib import Path

from support.recap_runs import run_here
from support.report_runs import config_of, finish, small_run
from support.shards import jpeg, write_tar

from beam_recap.report.run_report import write_reports

ROWS, KEPT, SHARDS = 50, 27, 3  # of `written_output`


def written_output(output: Path, **flags: str) -> Path:
    """What a run of `ROWS` rows leaves, of which `KEPT` are kept, in `SHARDS` output shards; nothing ran."""
    write_reports(*finish(config_of(output, rows_per_file="10", **flags), small_run()))
    return output


def run_output(folder: Path, *flags: str) -> Path:
    """The main job over 24 rows, of which 20 are kept, in 4 output shards."""
    for shard in range(4):
        rows = []
        for row in range(shard * 6, shard * 6 + 6):
            data = b"no picture" if row % 6 == 0 else jpeg(40 + row, 40, "red")
            rows.append({"__key__": f"{row:03d}", "jpg": data, "txt": f"caption é {row}".encode()})
        write_tar(folder / f"{shard}.tar", rows)
    output = folder / "out"
    given = ("--captioner=none", "--clip_model=none", "--extra_columns=true", "--rows_per_file=6")
    assert run_here(f"--input={folder}/*.tar", f"--output={output}", *given, *flags) == 0
    return output
