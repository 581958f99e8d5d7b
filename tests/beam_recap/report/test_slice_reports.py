"""Reports of slices: they keep all numbers, and add up to the report on the whole."""

from __future__ import annotations

import json
from pathlib import Path

from support.report_runs import UNITS, config_of, finish, jpeg, small_run, with_thumbnails

from beam_recap.assemble import AssembledShard, assemble, plan_output_shards
from beam_recap.download_counts import RankedHosts
from beam_recap.inputs.units import UnitCount
from beam_recap.report import slice_reports
from beam_recap.report.slice_reports import SliceReport
from beam_recap.schemas import kept_columns, rejected_columns
from beam_recap.slices import Slice
from beam_recap.tally.row_tally import RowTally

HOSTS = RankedHosts((("a.example", {"dns": 2, "fetched": 1}),), (("b.example", {"fetched": 5}),))


def test_a_report_is_read_as_it_was_saved(tmp_path: Path) -> None:
    outcomes = with_thumbnails(small_run(), jpeg())
    _, stats, tally = finish(config_of(tmp_path, rows_per_file="20"), outcomes)
    part = Slice(2, 3)
    slice_reports.save(str(tmp_path), SliceReport(part, tuple(stats), tally, HOSTS))
    back = slice_reports.load(str(tmp_path), part)
    assert (back.part, back.stats, back.hosts) == (part, tuple(stats), HOSTS)
    assert (back.tally.rows, back.tally.summary()) == (50, tally.summary())
    assert back.tally.examples() == tally.examples()
    assert slice_reports.saved(str(tmp_path), 3) == [part]


def test_slices_add_up_to_the_whole(tmp_path: Path) -> None:
    outcomes = with_thumbnails(small_run(), jpeg())
    facts, _, whole = finish(config_of(tmp_path), outcomes)
    columns = kept_columns("recap", False, facts.provenance), rejected_columns(False)
    joined = RowTally()
    for number, units in ((1, UNITS[:1]), (2, UNITS[1:])):
        part = Slice(number, 2)
        counts = [UnitCount(place, 0, unit, 20 if unit != UNITS[2] else 10) for place, unit in enumerate(units)]
        (shard,) = plan_output_shards(counts, 100, part)
        done: AssembledShard = assemble(str(tmp_path), shard, *columns)
        slice_reports.save(str(tmp_path), SliceReport(part, (done.stats,), done.tally, RankedHosts()))
        joined.merge(slice_reports.load(str(tmp_path), part).tally)
    assert (joined.summary(), joined.examples()) == (whole.summary(), whole.examples())
    assert json.loads(json.dumps(joined.summary())) == whole.summary()
