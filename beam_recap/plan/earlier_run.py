"""Makes a measurement of an earlier run's ``summary.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beam_recap import files
from beam_recap.flag import DEMO
from beam_recap.isolation import describe_error
from beam_recap.plan.measurement import Bytes, Measurement, Timing
from beam_recap.records import Stage

# What a row takes besides its stages (reading, Beam, the checkpoint, the final files), where only those are known: CPU
# seconds, as `tests.benchmarks.plan` shows them for rows of a Parquet file with local pictures.
OTHER_S = 0.003
_JPEG_BYTES = 80_000  # of a picture whose long side is 672 px


class SummaryError(ValueError):
    """A summary that cannot be used. The message ends a sentence that begins with its path."""


def read_summary(path: str) -> dict[str, Any]:
    """Reads a run's summary.

    Args:
      path: of the file, or of the run's directory; local or ``gs://``.

    Raises:
      SummaryError: there is none, or it lacks something.
    """
    if not path.endswith(".json"):
        path = files.join(path, "summary.json")
    try:
        summary = json.loads(files.read_bytes(path))
    except (OSError, ValueError) as error:
        raise SummaryError(f"cannot be read as a run's summary ({describe_error(error)})") from None
    try:
        rows = summary["counts"]["rows"]
        for stage in summary["counts"]["by_stage"]:
            str(stage["stage"]), int(stage["rows_in"]), int(stage["rejected"]), float(stage["seconds"] or 0)
        dict(summary["config"]), dict(summary["fetch"]), dict(summary["timings"]), list(summary["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise SummaryError(f"is no run's summary ({describe_error(error)})") from None
    if not isinstance(rows, int) or rows < 1:
        raise SummaryError("is of a run without rows")
    return summary


def measure(summary: Mapping[str, Any]) -> Measurement:
    """What the summary tells. Rows are taken to be independent, and to have taken a stage's mean each."""
    counts, config = summary["counts"], summary["config"]
    curate = next((stage for stage in counts["by_stage"] if stage["stage"] == Stage.CURATE), None)
    funnel = [stage for stage in counts["by_stage"] if stage["stage"] != Stage.CURATE]
    stages = tuple(stage["stage"] for stage in funnel)
    columns = ("rows", "kept", "jpeg_bytes", *(f"{what} {stage}" for stage in stages for what in ("into", "seconds")))
    kept = funnel[-1]["rows_in"] - funnel[-1]["rejected"] if funnel else counts["kept"]
    ends = [*(stage["rejected"] for stage in funnel), kept]  # rows that ended at each stage, and those kept
    table, repeats = [], []
    for end, rows in enumerate(ends):
        if not rows:
            continue
        values = {"rows": rows, "kept": rows if end == len(stages) else 0}
        for stage in funnel[: end + 1]:
            values[f"into {stage['stage']}"] = rows
            values[f"seconds {stage['stage']}"] = (stage["seconds"] or 0.0) * rows / max(1, stage["rows_in"])
        reached = str(Stage.CAPTION) in stages[: end + 1]
        values["jpeg_bytes"] = _JPEG_BYTES * rows if reached else 0.0
        table.append([float(values.get(name, 0.0)) for name in columns])
        repeats.append(rows)
    captioner = config.get("captioner")
    makes_captions = captioner is not None or config.get("caption_endpoint") is not None
    on_cpu = captioner == DEMO or config.get("device") == "cpu"
    from_web = bool(summary["fetch"]["rows"])
    remark = (
        "A summary does not tell bytes of pictures and of the checkpoint, nor how long its run took to start, nor how "
        "much of it waited for the network."
    )
    return Measurement(
        columns=columns,
        table=np.array(table),
        stages=stages,
        timing=_timing(funnel, counts["rows"], captions_on_cpu=on_cpu),
        kept_bytes=_file_bytes(summary["files"], "data/"),
        rejected_bytes=_file_bytes(summary["files"], "rejected/"),
        checkpoint_bytes=None,
        embedding_bytes=_file_bytes(summary["files"], "embeddings/").per_row,
        webdataset_bytes=_file_bytes(summary["files"], "webdataset/").per_row,
        image_bytes=None,
        from_web=from_web,
        makes_captions=makes_captions,
        curated=curate["rejected"] / max(1, curate["rows_in"]) if curate else 0.0,
        captions_ran_on=("cpu" if on_cpu else "gpu") if makes_captions else None,
        repeats=np.array(repeats),
        remarks=(remark,),
    )


def _timing(funnel: Sequence[Mapping[str, Any]], rows: int, *, captions_on_cpu: bool) -> Timing | None:
    computed = [stage for stage in funnel if captions_on_cpu or stage["stage"] != Stage.CAPTION]
    if all(stage["seconds"] is None for stage in computed):
        return None
    seconds = sum(stage["seconds"] or 0.0 for stage in computed) / rows + OTHER_S
    source = f"the stages' seconds of an earlier run, and {OTHER_S:g} s a row for everything else (assumed)"
    return Timing(seconds, seconds, 0.0, source, is_here=False)


def _file_bytes(written: list[dict[str, Any]], folder: str) -> Bytes:
    chosen = [file for file in written if file["name"].startswith(folder)]
    rows = sum(file["rows"] for file in chosen)
    return Bytes(0.0, sum(file["bytes"] for file in chosen) / rows if rows else 0.0)
