"""Finished runs that never ran, for comparing: files of the project's schemas, and the summary that goes with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap.assemble import OutputShard
from beam_recap.compare.comparison import compare_runs
from beam_recap.compare.settings import parse_flags
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from beam_recap.schemas import Provenance, kept_columns, rejected_columns, row_of, schema_of
from beam_recap.slices import Slice

STAGE_OF = {
    Reason.MISSING_URL: Stage.READ,
    Reason.HTTP_404: Stage.FETCH,
    Reason.LOW_CLIP_SCORE: Stage.CLIP,
    Reason.HAS_TEXT: Stage.OCR,
}


def row(number: int, reason: Reason | None = None, detail: str = "", **values: Any) -> Outcome:
    """The outcome of a row: kept, or rejected for a reason."""
    facts = {
        "uid": f"uid-{number}",
        "key": f"{number:09d}",
        "url": f"https://example.com/{number}.jpg",
        "caption": f"caption {number}",
        "source_row": number,
        "source_id": 1000 + number,
        "sha256": f"{number:064x}",
        "clip_score": 0.25,
        "recaption": f"a picture of number {number}",
        "recaption_clip_score": 0.5,
    }
    sample = Sample(unit="/in/a.parquet[0:100]", index=number, **{**facts, **values})
    return sample if reason is None else sample.reject(STAGE_OF[reason], reason, detail)


def write_run(
    folder: Path,
    outcomes: Sequence[Outcome],
    *,
    schema: str = "recap",
    extra_columns: bool = False,
    files: int = 1,
    part: Slice | None = None,
    config: Mapping[str, Any] | None = None,
    digest: str = "0123",
) -> Path:
    """Writes what a run leaves behind."""
    provenance = Provenance("clip", "head", "ocr", "llava", digest)
    kinds = {Sample: kept_columns(schema, extra_columns, provenance), Rejection: rejected_columns(extra_columns)}
    length = max(1, -(-len(outcomes) // files))
    written = []
    for number in range(files):
        shard = OutputShard(number, files, (), part)
        some = outcomes[number * length : (number + 1) * length]
        for kind, name in ((Sample, shard.kept_name), (Rejection, shard.rejected_name)):
            rows = [row_of(kinds[kind], outcome) for outcome in some if isinstance(outcome, kind)]
            write_table(folder / name, pa.Table.from_pylist(rows, schema=schema_of(kinds[kind])))
            written.append({"name": name, "rows": len(rows)})
    write_summary(folder, outcomes, written, {"min_clip_score": 0.3, **(config or {})})
    return folder


def write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_summary(
    folder: Path, outcomes: Sequence[Outcome], written: Sequence[dict[str, Any]], config: Mapping[str, Any]
) -> None:
    rejected = Counter((str(one.stage), str(one.reason)) for one in outcomes if isinstance(one, Rejection))
    stages = [
        {"stage": str(stage), "rejected": sum(reasons.values()), "reasons": reasons}
        for stage in dict.fromkeys(STAGE_OF.values())
        for reasons in [{reason: rows for (at, reason), rows in rejected.items() if at == stage}]
    ]
    summary = {
        "beam_recap_version": "0.1.0",
        "preset": "recap",
        "config_digest": "0123",
        "config": {"output": str(folder), **config},
        "command": f"python -m pipelines.recap --output={folder}",
        "models": {"captioner": "llava"},
        "versions": {"python": "3.11.7"},
        "counts": {
            "rows": len(outcomes),
            "kept": len(outcomes) - rejected.total(),
            "rejected": rejected.total(),
            "by_stage": stages,
        },
        "timings": {"finished_at": "2026-11-21T10:00:00.000Z"},
        "files": list(written),
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def compare(a: Path | str, b: Path | str, *flags: str) -> dict[str, Any]:
    """The comparison of two runs, with flags of the command."""
    return compare_runs(parse_flags([str(a), str(b), *flags]))


def moves(comparison: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Rows by how they ended in A and in B."""
    return {(one["a"]["outcome"], one["b"]["outcome"]): one["rows"] for one in comparison["transitions"]}


def column(comparison: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The numbers of a column."""
    return next(one for one in comparison["columns"] if one["name"] == name)
