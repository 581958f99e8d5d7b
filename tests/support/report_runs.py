"""Runs that never ran: a config, a checkpoint written by hand, and its output shards."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from beam_recap import checkpoint, run_directory
from beam_recap.assemble import ShardStats, assemble, plan_output_shards
from beam_recap.config import RecapConfig
from beam_recap.inputs.units import UnitCount
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from beam_recap.report.facts import RunFacts
from beam_recap.schemas import Provenance, kept_columns, rejected_columns
from beam_recap.tally.row_tally import RowTally

UNITS = ("/in/a.parquet[0:20]", "/in/a.parquet[20:40]", "/in/b.parquet[0:10]")


def jpeg(color: str = "red", size: tuple[int, int] = (32, 24)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG")
    return buffer.getvalue()


def config_of(output: Path, **flags: str) -> RecapConfig:
    given = {"input": "/in/*.parquet", "output": str(output), "preset": "recap-debiased", **flags}
    return RecapConfig.from_flags(given)


def provenance_of(config: RecapConfig) -> Provenance:
    return Provenance(
        clip_model=config.clip_model,
        aesthetic_model=config.aesthetic_weights and "head.pth@0123456789ab",
        ocr_engine=config.ocr and "rapidocr-3",
        captioner=config.captioner,
        config_digest=config.digest(),
    )


def sample(unit: str, index: int, **values: object) -> Sample:
    facts = {
        "uid": f"{UNITS.index(unit)}-{index}",
        "key": f"{index:09d}",
        "url": f"https://example.com/{index}.jpg",
        "caption": f"caption {index}",
        "source_row": index,
        "sha256": "ab" * 32,
        "width": 320,
        "height": 240,
        "clip_score": 0.31,
        "aesthetic_score": 5.25,
        "recaption": f"a new caption {index}",
        "recaption_clip_score": 0.35,
    }
    return Sample(unit=unit, index=index, **{**facts, **values})


def small_run() -> list[Outcome]:
    """50 rows in 3 units: 1 + 8 + 9 + 0 + 4 + 1 + 0 rejected by stage, 27 kept."""
    reasons = (
        [(Stage.READ, Reason.MISSING_URL)]
        + [(Stage.FETCH, Reason.HTTP_4XX)] * 5
        + [(Stage.FETCH, Reason.TIMEOUT)] * 3
        + [(Stage.CLIP, Reason.LOW_CLIP_SCORE)] * 9
        + [(Stage.OCR, Reason.HAS_TEXT)] * 4
        + [(Stage.CAPTION, Reason.EMPTY_RECAPTION)]
    )
    places = (
        [(UNITS[0], n) for n in range(20)] + [(UNITS[1], n) for n in range(20)] + [(UNITS[2], n) for n in range(10)]
    )
    outcomes: list[Outcome] = []
    for position, (unit, index) in enumerate(places):
        row = sample(unit, index)
        # Every second row is rejected, until the reasons are used up.
        if position % 2 == 0 and position // 2 < len(reasons):
            stage, reason = reasons[position // 2]
            if stage in (Stage.READ, Stage.FETCH):
                row = dataclasses.replace(row, width=None, height=None)
            outcomes.append(row.reject(stage, reason, f"detail of {index}"))
        else:
            outcomes.append(row)
    return outcomes


def with_thumbnails(outcomes: Iterable[Outcome], thumbnail: bytes | None) -> list[Outcome]:
    return [
        dataclasses.replace(outcome, sample=dataclasses.replace(outcome.sample, thumbnail=thumbnail))
        if isinstance(outcome, Rejection)
        else dataclasses.replace(outcome, thumbnail=thumbnail)
        for outcome in outcomes
    ]


class FinishedRun(NamedTuple):
    """What `write_reports` takes."""

    facts: RunFacts
    stats: list[ShardStats]
    tally: RowTally


def finish(config: RecapConfig, outcomes: Sequence[Outcome]) -> FinishedRun:
    """Claims the output directory, writes the checkpoint and makes the output shards."""
    attempt = run_directory.claim(config).attempt
    checkpoint.write_outcomes(config.output, attempt, outcomes)
    rows: dict[str, int] = {}
    for outcome in outcomes:
        unit = (outcome.sample if isinstance(outcome, Rejection) else outcome).unit
        rows[unit] = rows.get(unit, 0) + 1
    units = [UnitCount(int("b.parquet" in unit), 20 * ("[20:" in unit), unit, count) for unit, count in rows.items()]
    provenance = provenance_of(config)
    columns = (
        kept_columns(config.preset, config.extra_columns, provenance),
        rejected_columns(config.extra_columns),
    )
    shards = plan_output_shards(units, config.rows_per_file, config.part)
    stats, tally = [], RowTally()
    for shard in shards:
        assembled = assemble(config.output, shard, *columns)
        stats.append(assembled.stats)
        tally.merge(assembled.tally)
    return FinishedRun(RunFacts.of(config, provenance, attempt), stats, tally)
