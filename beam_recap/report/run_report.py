"""Closes a run: checks that every row has one outcome, then writes what programs and people read."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from typing import Any

from beam_recap import checkpoint, files
from beam_recap.assemble import AccountingError, OutputShard, ShardStats
from beam_recap.download_counts import HostCounts
from beam_recap.report.card import dataset_card
from beam_recap.report.facts import RunFacts
from beam_recap.report.page import report_page
from beam_recap.report.summary import build_summary
from beam_recap.schemas import kept_columns, schema_of


def write_reports(
    facts: RunFacts, stats: Sequence[ShardStats], hosts: Sequence[tuple[str, HostCounts]] = ()
) -> dict[str, Any]:
    """Writes ``README.md``, ``report.html`` and, last, ``summary.json``: where that is, the run is complete.

    The checkpoint is removed after that, unless the run keeps it. Safe to repeat: nothing here reads the checkpoint.

    Args:
      facts: what was known when the run started.
      stats: every output shard's, in any order.
      hosts: those with the most failed downloads, with their counts over all shards, in order.

    Returns:
      The summary.

    Raises:
      AccountingError: rows are not kept + rejected, or an output shard is missing. Nothing was written.
    """
    ordered = sorted(stats, key=lambda shard: shard.number)
    _check(ordered)
    summary = build_summary(facts, ordered, hosts, finished_at=time.time())
    schema = schema_of(kept_columns(facts.schema, facts.extra_columns, facts.provenance))
    card = dataset_card(facts, summary, schema, ordered)
    page = report_page(facts, summary, [outcome for shard in ordered for outcome in shard.examples])
    for name, text in (
        ("README.md", card),
        ("report.html", page),
        ("summary.json", json.dumps(summary, indent=1) + "\n"),
    ):
        # A flag's value may hold bytes of the shell that are no text; they must not lose the report.
        files.write_bytes(files.join(facts.output, name), text.encode("utf-8", errors="replace"))
    if not facts.keep_checkpoint:
        _remove_checkpoint(facts.output)
    return summary


def _check(stats: Sequence[ShardStats]) -> None:
    for number, shard in enumerate(stats):
        expected = OutputShard(number, len(stats), ())
        names = tuple(file.name for file in shard.files)
        known = (expected.kept_name, expected.rejected_name, expected.embeddings_name)
        if shard.number != number or names not in (known[:2], known):
            found = [other.number for other in stats]
            raise AccountingError(
                f"{len(stats)} output shards are numbered {found}, and shard {shard.number} is {names[0]}: "
                f"not {expected.kept_name}"
            )
        rejected = shard.rejected.total()
        if shard.rows != shard.kept + rejected:
            raise AccountingError(
                f"output shard {number}: {shard.rows} rows are not {shard.kept} kept + {rejected} rejected"
            )
        written = tuple(file.rows for file in shard.files)
        if written not in ((shard.kept, rejected), (shard.kept, rejected, shard.kept)):
            raise AccountingError(
                f"output shard {number}: {shard.kept} kept and {rejected} rejected rows, "
                f"but its files hold {', '.join(map(str, written))}"
            )


def _remove_checkpoint(output: str) -> None:
    directory = files.join(output, checkpoint.DIRECTORY)
    if "://" not in directory:
        # Beam would read a bracket or a star in the path as a pattern.
        shutil.rmtree(directory, ignore_errors=True)
        return
    # run.json goes last: what is left of a removal that broke off still says whose it is. The slash makes Beam's object
    # stores remove everything under a name, in batches.
    files.delete([files.join(directory, "outcomes") + "/", files.join(directory, "run.json")])
