"""Closes a run: checks that every row has one outcome, then writes what programs and people read."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from typing import Any

from beam_recap import files, run_directory
from beam_recap.assemble import AccountingError, OutputShard, ShardStats
from beam_recap.caption_mix import CaptionMix
from beam_recap.download_counts import HostCounts, RankedHosts, merge_host_counts
from beam_recap.report import slice_reports
from beam_recap.report.card import dataset_card
from beam_recap.report.facts import RunFacts
from beam_recap.report.page import report_page
from beam_recap.report.slice_reports import SliceReport
from beam_recap.report.summary import build_summary
from beam_recap.schemas import kept_columns, schema_of
from beam_recap.slices import Slice
from beam_recap.tally.row_tally import RowTally

_NO_HOSTS = RankedHosts()


def write_reports(
    facts: RunFacts, stats: Sequence[ShardStats], tally: RowTally, hosts: RankedHosts = _NO_HOSTS
) -> dict[str, Any]:
    """Writes ``README.md``, ``report.html`` and, last, ``summary.json``: where that is, the run is complete.

    The checkpoint is removed after that, unless the run keeps it. Safe to repeat: nothing here reads the checkpoint.

    Args:
      facts: what was known when the run started.
      stats: every output shard's, in any order.
      tally: the numbers of all their rows.
      hosts: with their counts over all shards; of a slice `HOSTS_OF_SLICE` of either kind.

    Returns:
      The summary. Of a slice: that of all slices of this directory that have ended.

    Raises:
      AccountingError: rows are not kept + rejected, or not those that the numbers are of, or an output shard is
        missing. Nothing was written.
    """
    ordered = sorted(stats, key=lambda shard: shard.number)
    _check(ordered, facts.part, webdataset="webdataset" in facts.config["output_format"])
    if (rows := sum(shard.rows for shard in ordered)) != tally.rows:
        raise AccountingError(f"{rows} rows were written, but the report's numbers are of {tally.rows}")
    if facts.part is None:
        summary = _write(facts, ordered, tally, hosts)
        if not facts.keep_checkpoint:
            _remove_checkpoint(facts.output)
        return summary
    slice_reports.save(facts.output, SliceReport(facts.part, tuple(ordered), tally, hosts))
    reported: list[Slice] = []
    # Again, if another slice has ended meanwhile: it may have reported before this one.
    while reported != (found := slice_reports.saved(facts.output, facts.part.total)):
        summary = _write_slices(facts, found)
        reported = found
    return summary


def _write_slices(facts: RunFacts, parts: Sequence[Slice]) -> dict[str, Any]:
    """Reports on all slices that have ended."""
    reports = [slice_reports.load(facts.output, part) for part in parts]
    hosts: dict[str, HostCounts] = {}
    tally = RowTally()
    for report in reports:
        tally.merge(report.tally)
        for host, counts in report.hosts.hosts().items():
            hosts[host] = merge_host_counts(hosts.get(host, {}), counts)
    stats = [shard for report in reports for shard in report.stats]
    return _write(facts, stats, tally, RankedHosts.of(hosts.items()), parts)


def _write(
    facts: RunFacts,
    stats: Sequence[ShardStats],
    tally: RowTally,
    hosts: RankedHosts,
    parts: Sequence[Slice] | None = None,
) -> dict[str, Any]:
    summary = build_summary(facts, stats, tally, hosts, finished_at=time.time(), parts=parts)
    mix = CaptionMix.of_flags(facts.config)
    schema = schema_of(kept_columns(facts.schema, facts.extra_columns, facts.provenance, mix))
    card = dataset_card(facts, summary, schema, stats)
    page = report_page(facts, summary, tally.examples())
    # Other slices may be writing theirs.
    write = files.write_alone if facts.part is None else files.write_bytes
    for name, text in (
        ("README.md", card),
        ("report.html", page),
        ("summary.json", json.dumps(summary, indent=1) + "\n"),
    ):
        # A flag's value may hold bytes of the shell that are no text; they must not lose the report.
        write(files.join(facts.output, name), text.encode("utf-8", errors="replace"))
    return summary


def _check(stats: Sequence[ShardStats], part: Slice | None, *, webdataset: bool) -> None:
    for number, shard in enumerate(stats):
        expected = OutputShard(number, len(stats), (), part)
        names = tuple(file.name for file in shard.files)
        tables = (expected.kept_name, expected.rejected_name)
        if shard.number != number or names[:2] != tables:
            found = [other.number for other in stats]
            raise AccountingError(
                f"{len(stats)} output shards are numbered {found}, and shard {shard.number} is {names[0]}: "
                f"not {expected.kept_name}"
            )
        tars = (expected.webdataset_name,) if webdataset else ()
        if names[2:] not in (tars, (expected.embeddings_name, *tars)):
            found, wanted = (", ".join(some) or "nothing" for some in (names[2:], tars))
            raise AccountingError(f"output shard {number} has {found} beside its tables, not {wanted}")
        rejected = shard.rejected.total()
        if shard.rows != shard.kept + rejected:
            raise AccountingError(
                f"output shard {number}: {shard.rows} rows are not {shard.kept} kept + {rejected} rejected"
            )
        written = tuple(file.rows for file in shard.files)
        if written != tuple(rejected if name == expected.rejected_name else shard.kept for name in names):
            raise AccountingError(
                f"output shard {number}: {shard.kept} kept and {rejected} rejected rows, "
                f"but its files hold {', '.join(map(str, written))}"
            )


def _remove_checkpoint(output: str) -> None:
    directory = files.join(output, run_directory.DIRECTORY)
    if "://" not in directory:
        # Beam would read a bracket or a star in the path as a pattern.
        shutil.rmtree(directory, ignore_errors=True)
        return
    # run.json goes last: what is left of a removal that broke off still says whose it is. The slash makes Beam's object
    # stores remove everything under a name, in batches.
    names = ("outcomes/", "curation/", "reports/", "slices/", "input.json", "run.json")
    files.delete([files.join(directory, name) for name in names])
