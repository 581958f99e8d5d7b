"""Reads what runs of samples have left behind, and makes one measurement of them."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap import checkpoint
from beam_recap.plan.measurement import Bytes, Measurement, Timing, table_of
from beam_recap.records import Outcome, Rejection, Sample, Stage
from beam_recap.run_directory import DIRECTORY

_CLIP_ON_GPU = "CLIP ran on this machine's GPU; machines without one take longer for it than is told here."


@dataclass(frozen=True)
class SampleRun:
    """One run of the main job on a part of the sample.

    ``cpu_s`` and ``wall_s`` are of the whole run, ``image_bytes`` those of encoded pictures that were to be decoded.
    """

    output: Path
    cpu_s: float
    wall_s: float
    image_bytes: float

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.output / "summary.json").read_bytes())

    def outcomes(self) -> list[Outcome]:
        """Of all rows, before anything is curated."""
        paths = sorted((self.output / DIRECTORY / "outcomes").glob("*/*.parquet"))
        return [outcome for path in paths for outcome in checkpoint.unpack(path.read_bytes())]


def measure(
    runs: Sequence[SampleRun],
    place_of: Mapping[str, Sequence[int]],
    *,
    by_place: bool,
    image_size: int,
    makes_captions: bool,
    gpu: str | None,
    checkpoint_rows: int,
) -> Measurement:
    """Everything that is known after the runs.

    Args:
      runs: the last one is the long one; the one before it tells what a warm start takes, the first what a cold one
        takes.
      place_of: by path of a sample's file, the place of each of its rows.
      by_place: rows of one place belong together in the bootstrap.
      image_size: of the config, px.
      makes_captions: whether the whole job makes captions, in these runs or not.
      gpu: what captions were written on, if it was a GPU.
      checkpoint_rows: rows in a file of the checkpoint, in the whole job.
    """
    outcomes = [outcome for run in runs for outcome in run.outcomes()]
    summaries = [run.summary for run in runs]
    stages = _stages(summaries[-1], makes_captions=makes_captions)
    numbers: dict[tuple[str, int], int] = {}

    def group_of(sample: Sample) -> int:
        path, row = sample.unit.rsplit("[", 1)[0], sample.source_row or 0
        if by_place and row < len(place_of.get(path, ())):
            return place_of[path][row]
        return numbers.setdefault((path, row), len(numbers))

    columns, table = table_of(outcomes, stages, group_of, image_size)
    kept = [outcome for outcome in outcomes if not isinstance(outcome, Rejection)]
    captions = [sample for sample in kept if sample.recaption is not None]
    tokens = [sample.recaption_tokens for sample in captions if sample.recaption_tokens is not None]
    ran = sum(sample.seconds[-1] for sample in map(_sample, outcomes) if sample.seconds and sample.seconds[-1])
    curated = sum(stage["rejected"] for one in summaries for stage in one["counts"]["by_stage"] if _is_curate(stage))
    embedding_bytes = sum(len(sample.embedding) for sample in kept if sample.embedding is not None)
    long = runs[-1]
    return Measurement(
        columns=columns,
        table=table,
        stages=stages,
        timing=_timing(runs, [one["counts"]["rows"] for one in summaries]),
        kept_bytes=_table_bytes(long.output / "data"),
        rejected_bytes=_table_bytes(long.output / "rejected"),
        checkpoint_bytes=_checkpoint_bytes(long.outcomes(), checkpoint_rows),
        embedding_bytes=embedding_bytes / len(kept) if kept and (long.output / "embeddings").is_dir() else 0.0,
        webdataset_bytes=_folder_bytes(long.output / "webdataset") / max(1, long.summary["counts"]["kept"]),
        image_bytes=sum(run.image_bytes for run in runs) / max(1, len(outcomes)),
        from_web=any(_sample(outcome).http_status is not None for outcome in outcomes),
        makes_captions=makes_captions,
        curated=curated / max(1, len(kept)),
        caption_rate=(gpu, len(captions) / ran) if gpu is not None and ran and captions else None,
        caption_tokens=sum(tokens) / len(tokens) if tokens else None,
        captions_ran_on=("cpu" if gpu is None else "gpu") if captions else None,
        by_place=by_place,
        remarks=(_CLIP_ON_GPU,) if gpu is not None and str(Stage.CLIP) in stages else (),
    )


def _stages(summary: Mapping[str, Any], *, makes_captions: bool) -> tuple[str, ...]:
    """Those that a row goes through, in order; the captioner's also where the sample's rows were not captioned."""
    ran = [stage["stage"] for stage in summary["counts"]["by_stage"] if not _is_curate(stage)]
    if makes_captions and str(Stage.CAPTION) not in ran:
        after = {str(Stage.RESCORE), str(Stage.MORE_CLIPS)}
        place = next((number for number, stage in enumerate(ran) if stage in after), len(ran))
        ran.insert(place, str(Stage.CAPTION))
    return tuple(ran)


def _sample(outcome: Outcome) -> Sample:
    return outcome.sample if isinstance(outcome, Rejection) else outcome


def _is_curate(stage: Mapping[str, Any]) -> bool:
    return stage["stage"] == Stage.CURATE


def _timing(runs: Sequence[SampleRun], rows: Sequence[int]) -> Timing:
    """What a run takes beyond a shorter one, for each row that it has more: that takes off what is paid once."""
    long = runs[-1]
    if len(runs) < 3 or rows[-1] <= rows[-2]:
        return Timing(
            long.cpu_s / rows[-1], long.wall_s / rows[-1], 0.0, "a single run of few rows, its start included"
        )
    cold, warm = runs[0], runs[-2]
    more = rows[-1] - rows[-2]
    cpu_s = max(0.0, long.cpu_s - warm.cpu_s) / more
    wall_s = max(0.0, long.wall_s - warm.wall_s) / more
    source = f"a run of {rows[-1]} rows less one of {rows[-2]}"
    startup_s, startup_cpu_s = (
        max(0.0, took - rows[0] * row) for took, row in ((cold.wall_s, wall_s), (cold.cpu_s, cpu_s))
    )
    return Timing(cpu_s, wall_s, startup_s, source, startup_cpu_s)


def _table_bytes(folder: Path) -> Bytes | None:
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    if not tables:
        return None
    table = pa.concat_tables(tables)
    return size_by_rows(table.num_rows, lambda rows: _parquet_bytes(table.take(pa.array(rows, pa.int64()))))


def _parquet_bytes(table: pa.Table) -> int:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.tell()


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*"))


def _checkpoint_bytes(outcomes: Sequence[Outcome], rows: int) -> Bytes | None:
    # Of the whole input only the few rows that the report may show have thumbnails; here nearly all do.
    plain = [
        dataclasses.replace(outcome, sample=dataclasses.replace(outcome.sample, thumbnail=None))
        if isinstance(outcome, Rejection)
        else dataclasses.replace(outcome, thumbnail=None)
        for outcome in outcomes
    ]
    step = max(1, len(plain) // max(2, rows))
    plain = plain[::step]
    return size_by_rows(len(plain), lambda chosen: len(checkpoint.pack([plain[row] for row in chosen])))


def size_by_rows(rows: int, size: Callable[[Sequence[int]], int]) -> Bytes:
    """A file's size by its rows: from all of the sample, and every second one.

    What a file has besides its rows does not grow with them; and rows compress the better the more there are, which
    the second half of them has nearly to the full.

    Args:
      rows: how many there are.
      size: bytes of a file of some of them.
    """
    whole = size(range(rows))
    if rows < 8:
        return Bytes(0.0 if rows else float(whole), whole / rows if rows else 0.0)
    half = range(0, rows, 2)
    per_row = max(0.0, (whole - size(half)) / (rows - len(half)))
    return Bytes(max(0.0, whole - per_row * rows), per_row)
