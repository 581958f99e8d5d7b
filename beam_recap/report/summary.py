"""``summary.json``: what a run did, in numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from beam_recap import __version__
from beam_recap.assemble import ShardStats
from beam_recap.costs import FilterCost, cheapest_order, expected_seconds
from beam_recap.download_counts import FETCHED, DownloadCounts, HostCounts, RankedHosts, failed_rows
from beam_recap.records import Reason
from beam_recap.report.facts import RunFacts
from beam_recap.slices import Slice
from beam_recap.tally.row_tally import RowTally


def build_summary(
    facts: RunFacts,
    stats: Sequence[ShardStats],
    tally: RowTally,
    hosts: RankedHosts,
    finished_at: float,
    parts: Sequence[Slice] | None = None,
) -> dict[str, Any]:
    """The run as JSON values, keys in a fixed order.

    Args:
      facts: what was known when the run started.
      stats: every output shard's, in order.
      tally: the numbers of all their rows.
      hosts: with their counts over all shards.
      finished_at: unix time, s.
      parts: the slices that the shards are of; None: they are of the whole input.

    Returns:
      ``counts.by_stage`` is a funnel: a stage's ``rows_in`` are the ``rows_out`` of the one before; its ``seconds`` are
      those of workers' threads, in all attempts (see `costs`), its ``rows_per_s`` is of one such thread, and
      ``share_of_seconds`` of all stages'. ``filters`` compares the order of the filters with the
      cheapest one, as if each passed its share of rows whatever came before it. ``kept_percent`` is
      None where no row was read. ``slices`` are those that have ended. ``timings`` are this job's; their
      ``rows_per_s`` is None for a slice and for a later attempt, whose counts include the rows of others. ``fetch`` is
      about downloads (see `download_counts`): its ``rows`` are ``fetched`` + ``failed``, and they are the sum of
      ``by_http_status`` + ``no_answer``. ``transient`` are the failed ones that another try may fetch.
      ``fetched_percent`` is None where nothing was to be downloaded. ``bytes`` are those of all pictures that came,
      also of those that were of no use. ``distributions``, ``words``, ``repeated_captions`` and ``flags`` are about the
      rows of ``data/``, and distributions also about those of ``rejected/``; see `tally`. Of ``words`` and
      ``repeated_captions``, ``undercount`` says by how much a count may be too low at most: 0 where it is exact.
    """
    rows = sum(shard.rows for shard in stats)
    kept = sum(shard.kept for shard in stats)
    rejected: Counter[tuple[str, str]] = Counter()
    by_reason: Counter[str] = Counter()
    for shard in stats:
        rejected.update(shard.rejected)
    for (_, reason), count in rejected.items():
        by_reason[reason] += count
    seconds = sum((shard.seconds for shard in stats), Counter())
    funnel = _funnel(rows, [stage for _, stage in facts.stages], rejected, seconds)
    elapsed = max(finished_at - facts.started_at, 0.0)
    models = dataclasses.asdict(facts.provenance)
    models.pop("config_digest")
    models["more_clip_models"] = list(facts.provenance.more_clip_models)
    return {
        "beam_recap_version": __version__,
        "preset": facts.preset,
        "config_digest": facts.config_digest,
        "config": facts.config,
        "command": facts.command,
        "models": models,
        "model_files": facts.model_files,
        "versions": facts.versions,
        "counts": {
            "rows": rows,
            "kept": kept,
            "rejected": rejected.total(),
            "kept_percent": round(100 * kept / rows, 2) if rows else None,
            "by_stage": funnel,
            "by_reason": _most_first(by_reason),
        },
        "slices": None if parts is None else {"total": parts[0].total, "done": [part.number for part in parts]},
        "filters": _filters(funnel, facts),
        "fetch": _fetch(sum((shard.downloads for shard in stats), DownloadCounts()), hosts),
        **tally.summary(),
        "timings": {
            "started_at": _utc(facts.started_at),
            "finished_at": _utc(finished_at),
            "elapsed_s": round(elapsed, 3),
            "rows_per_s": round(rows / elapsed, 3) if elapsed and facts.attempt == 1 and parts is None else None,
            "attempt": facts.attempt,
        },
        "files": [
            {"name": file.name, "rows": file.rows, "bytes": file.file_bytes, "sha256": file.sha256}
            for shard in stats
            for file in shard.files
        ],
    }


def _funnel(
    rows: int, stages: Sequence[str], rejected: Counter[tuple[str, str]], seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    # A stage that the facts do not name comes last: its rejections must not vanish from the sum.
    unnamed = sorted({stage for stage, _ in rejected} - set(stages))
    rounded = {stage: round(spent, 3) for stage, spent in seconds.items()}
    all_seconds = sum(rounded.values())
    funnel = []
    for stage in (*stages, *unnamed):
        reasons = Counter({reason: count for (at, reason), count in rejected.items() if at == stage})
        rows_out = rows - reasons.total()
        spent = rounded.get(stage)
        funnel.append(
            {
                "stage": stage,
                "rows_in": rows,
                "rejected": reasons.total(),
                "rows_out": rows_out,
                "reasons": _most_first(reasons),
                "seconds": spent,
                "ms_per_row": _per_row(seconds.get(stage), rows),
                "ms_per_rejected_row": _per_row(seconds.get(stage), reasons.total()),
                "rows_per_s": round(rows / spent, 3) if spent else None,
                "share_of_seconds": round(spent / all_seconds, 6) if spent else None,
            }
        )
        rows = rows_out
    return funnel


def _per_row(seconds: float | None, rows: int) -> float | None:
    return None if seconds is None or not rows else round(1000 * seconds / rows, 3)


def _filters(funnel: Sequence[dict[str, Any]], facts: RunFacts) -> dict[str, Any]:
    """The order of the filters, and the one that would have cost least by what was measured here."""
    names = [name for name in facts.config["filter_order"] if name in {stage for _, stage in facts.stages}]
    stages = {stage["stage"]: stage for stage in funnel}
    measured = {
        name: FilterCost(stage["seconds"] / stage["rows_in"], stage["rows_out"] / stage["rows_in"])
        for name in names
        if (stage := stages[name])["rows_in"] and stage["seconds"] is not None
    }
    if len(measured) < len(names):
        return {"order": names, "cheapest_order": None, "ms_per_row": None, "cheapest_ms_per_row": None}
    needs_clip = facts.config["aesthetic_clip_model"] is None
    cheapest = cheapest_order(measured, {"aesthetic": "clip"} if needs_clip else {})
    return {
        "order": names,
        "cheapest_order": list(cheapest),
        "ms_per_row": round(1000 * expected_seconds(names, measured), 3),
        "cheapest_ms_per_row": round(1000 * expected_seconds(cheapest, measured), 3),
    }


def _fetch(downloads: DownloadCounts, hosts: RankedHosts) -> dict[str, Any]:
    rows = downloads.rows
    statuses = {status: count for status, count in downloads.by_http_status.items() if status is not None}
    transient = (count for reason, count in downloads.by_reason.items() if Reason(reason).is_transient)
    return {
        "rows": rows,
        "fetched": downloads.fetched,
        "failed": downloads.by_reason.total(),
        "fetched_percent": round(100 * downloads.fetched / rows, 2) if rows else None,
        "bytes": downloads.bytes,
        "transient": sum(transient),
        "by_http_status": {str(status): statuses[status] for status in sorted(statuses)},
        "no_answer": downloads.by_http_status[None],
        "by_reason": _most_first(downloads.by_reason),
        "hosts_by_failures": [_host(host, counts) for host, counts in hosts.by_failures],
        "hosts_by_rows": [_host_rows(host, counts) for host, counts in hosts.by_rows],
    }


def _host(host: str, counts: HostCounts) -> dict[str, Any]:
    reasons = Counter({ending: rows for ending, rows in counts.items() if ending != FETCHED})
    return {**_host_rows(host, counts), "reasons": _most_first(reasons)}


def _host_rows(host: str, counts: HostCounts) -> dict[str, Any]:
    fetched, failed = counts.get(FETCHED, 0), failed_rows(counts)
    return {"host": host, "rows": fetched + failed, "fetched": fetched, "failed": failed}


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(((name, n) for name, n in counts.items() if n), key=lambda item: (-item[1], item[0])))


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
