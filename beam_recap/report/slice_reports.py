"""What finished slices hold, so that the last one to end reports on all of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from beam_recap import checkpoint, files
from beam_recap.assemble import FileStats, ShardStats
from beam_recap.download_counts import DownloadCounts, RankedHosts
from beam_recap.run_directory import DIRECTORY
from beam_recap.slices import Slice
from beam_recap.tally.row_tally import RowTally

_REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class SliceReport:
    """A finished slice: its output shards, the numbers of their rows, and the hosts with the most rows and failures."""

    part: Slice
    stats: tuple[ShardStats, ...]
    tally: RowTally
    hosts: RankedHosts


def save(output: str, report: SliceReport) -> None:
    """Leaves a slice's report beside the checkpoint, in place of its last one."""
    # The page's examples first: where there is a report, all of it is there.
    files.write_alone(_path(output, report.part, "parquet"), checkpoint.pack(report.tally.example_rows()))
    found = {
        "shards": [_as_json(shard) for shard in report.stats],
        "tally": report.tally.as_json(),
        "hosts": {"by_failures": report.hosts.by_failures, "by_rows": report.hosts.by_rows},
    }
    files.write_alone(_path(output, report.part, "json"), json.dumps(found).encode())


def saved(output: str, total: int) -> list[Slice]:
    """The slices that have left a report, in order. Those of another total do not count."""
    found = files.match_in(files.join(output, DIRECTORY, _REPORTS), "*.json")
    names = {path.rsplit("/", 1)[-1] for path in found}
    every = (Slice(number, total) for number in range(1, total + 1))
    return [part for part in every if f"{part.tag}.json" in names]


def load(output: str, part: Slice) -> SliceReport:
    """What `save` left."""
    found = json.loads(files.read_bytes(_path(output, part, "json")))
    examples = checkpoint.unpack(files.read_bytes(_path(output, part, "parquet")))
    hosts = {kind: tuple((host, counts) for host, counts in ranked) for kind, ranked in found["hosts"].items()}
    stats = tuple(map(_of_json, found["shards"]))
    return SliceReport(part, stats, RowTally.of_json(found["tally"], examples), RankedHosts(**hosts))


def _path(output: str, part: Slice, ending: str) -> str:
    return files.join(output, DIRECTORY, _REPORTS, f"{part.tag}.{ending}")


def _as_json(shard: ShardStats) -> dict[str, Any]:
    downloads = shard.downloads
    return {
        "number": shard.number,
        "rows": shard.rows,
        "kept": shard.kept,
        "rejected": [[stage, reason, rows] for (stage, reason), rows in shard.rejected.items()],
        "files": [[file.name, file.rows, file.file_bytes, file.arrow_bytes, file.sha256] for file in shard.files],
        "fetched": downloads.fetched,
        "bytes": downloads.bytes,
        "http_status": list(downloads.by_http_status.items()),
        "failed": dict(downloads.by_reason),
        "seconds": dict(shard.seconds),
    }


def _of_json(value: dict[str, Any]) -> ShardStats:
    return ShardStats(
        value["number"],
        value["rows"],
        value["kept"],
        Counter({(stage, reason): rows for stage, reason, rows in value["rejected"]}),
        tuple(FileStats(*file) for file in value["files"]),
        DownloadCounts(value["fetched"], value["bytes"], Counter(dict(value["http_status"])), Counter(value["failed"])),
        Counter(value["seconds"]),
    )
