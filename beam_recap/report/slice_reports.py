"""What finished slices hold, so that the last one to end reports on all of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap import checkpoint, files
from beam_recap.assemble import FileStats, ShardStats
from beam_recap.download_counts import DownloadCounts, HostCounts
from beam_recap.run_directory import DIRECTORY
from beam_recap.slices import Slice

_REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class SliceReport:
    """A finished slice: its output shards, and the hosts with the most failed downloads."""

    part: Slice
    stats: tuple[ShardStats, ...]
    hosts: tuple[tuple[str, HostCounts], ...]


def save(output: str, report: SliceReport) -> None:
    """Leaves a slice's report beside the checkpoint, in place of its last one."""
    examples = [outcome for shard in report.stats for outcome in shard.examples]
    # The page's examples first: where there is a report, all of it is there.
    files.write_alone(_path(output, report.part, "parquet"), checkpoint.pack(examples))
    found = {"shards": [_as_json(shard) for shard in report.stats], "hosts": report.hosts}
    files.write_alone(_path(output, report.part, "json"), json.dumps(found).encode())


def saved(output: str, total: int) -> list[Slice]:
    """The slices that have left a report, in order. Those of another total do not count."""
    found = files.match_in(files.join(output, DIRECTORY, _REPORTS), "*.json")
    names = {path.rsplit("/", 1)[-1] for path in found}
    every = (Slice(number, total) for number in range(1, total + 1))
    return [part for part in every if f"{part.tag}.json" in names]


def load(output: str, part: Slice) -> SliceReport:
    """What `save` left. The slice's examples come with its first shard."""
    found = json.loads(files.read_bytes(_path(output, part, "json")))
    examples = tuple(checkpoint.unpack(files.read_bytes(_path(output, part, "parquet"))))
    stats = [_of_json(value, () if place else examples) for place, value in enumerate(found["shards"])]
    return SliceReport(part, tuple(stats), tuple((host, counts) for host, counts in found["hosts"]))


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
        "http_status": list(downloads.by_http_status.items()),
        "failed": dict(downloads.by_reason),
        "seconds": dict(shard.seconds),
    }


def _of_json(value: dict[str, Any], examples: Sequence[Any]) -> ShardStats:
    return ShardStats(
        value["number"],
        value["rows"],
        value["kept"],
        Counter({(stage, reason): rows for stage, reason, rows in value["rejected"]}),
        tuple(FileStats(*file) for file in value["files"]),
        DownloadCounts(value["fetched"], Counter(dict(value["http_status"])), Counter(value["failed"])),
        Counter(value["seconds"]),
        tuple(examples),
    )
