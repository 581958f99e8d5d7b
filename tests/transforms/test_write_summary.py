"""The last steps of the job, from a checkpoint written by hand to ``summary.json``."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from support.report_runs import config_of, provenance_of

from beam_recap import checkpoint, run_directory
from beam_recap.inputs.units import UnitCount
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from beam_recap.report.facts import RunFacts
from transforms.write_parquet import CheckpointedRows, WriteParquet
from transforms.write_summary import WriteSummary

ROWS, UNIT_ROWS = 600, 25
UNITS = [UnitCount(0, start, f"/in/a.parquet[{start}:{start + UNIT_ROWS}]", UNIT_ROWS) for start in range(0, ROWS, 25)]
FAILURES = ((Reason.DNS, None), (Reason.HTTP_404, 404), (Reason.HTTP_5XX, 503), (Reason.CORRUPT, 200))


def outcomes() -> list[Outcome]:
    """Rows of 80 hosts, some of which fail often."""
    rng = random.Random(5)
    rows: list[Outcome] = []
    for number in range(ROWS):
        host = int(80 * rng.random() ** 2)
        unit = UNITS[number // UNIT_ROWS]
        reason, status = rng.choice(FAILURES)
        fails = rng.random() < 0.9 - host / 100
        sample = Sample(
            unit=unit.name,
            index=number % UNIT_ROWS,
            uid=str(number),
            key=str(number),
            url=f"https://host-{host}.example/{number}",
            http_status=status if fails else 200,
        )
        rows.append(sample.reject(Stage.FETCH, reason) if fails else sample)
    return rows


def run(output: Path, rows: list[Outcome], rows_per_file: int) -> dict:
    config = config_of(output, rows_per_file=str(rows_per_file), extra_columns="true")
    attempt = run_directory.claim(config).attempt
    paths = checkpoint.write_outcomes(config.output, attempt, rows)
    provenance = provenance_of(config)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        units = pipeline | "Units" >> beam.Create(UNITS)
        files = pipeline | "Files" >> beam.Create(paths)
        written = CheckpointedRows(units, files) | WriteParquet(
            config.output,
            schema=config.schema,
            extra_columns=config.extra_columns,
            provenance=provenance,
            rows_per_file=config.rows_per_file,
        )
        written | WriteSummary(RunFacts.of(config, provenance, attempt))
    return json.loads((output / "summary.json").read_text())


@pytest.mark.parametrize("rows_per_file", [UNIT_ROWS, 7 * UNIT_ROWS, ROWS])
def test_hosts_are_counted_over_all_shards(tmp_path: Path, rows_per_file: int) -> None:
    rows = outcomes()
    expected: dict[str, Counter[str]] = {}
    for outcome in rows:
        failed = isinstance(outcome, Rejection)
        host = (outcome.sample if failed else outcome).url.split("/")[2]
        expected.setdefault(host, Counter())[str(outcome.reason) if failed else "fetched"] += 1
    sums = {host: counts.total() for host, counts in expected.items()}
    failures = {host: counts.total() - counts["fetched"] for host, counts in expected.items()}
    worst = sorted((host for host in failures if failures[host]), key=lambda host: (-failures[host], host))[:50]

    random.Random(rows_per_file).shuffle(rows)
    fetch = run(tmp_path, rows, rows_per_file)["fetch"]
    assert len(worst) == 50 and len(expected) > 50
    assert [host["host"] for host in fetch["hosts_by_failures"]] == worst
    for host in fetch["hosts_by_failures"]:
        counts = expected[host["host"]]
        assert (host["failed"], host["fetched"]) == (failures[host["host"]], counts.pop("fetched", 0))
        assert host["rows"] == host["failed"] + host["fetched"]
        assert host["reasons"] == counts
    largest = sorted(expected, key=lambda host: (-sums[host], host))
    assert [(host["host"], host["rows"]) for host in fetch["hosts_by_rows"]] == [
        (host, sums[host]) for host in largest[:100]
    ]
    assert fetch["rows"] == ROWS == fetch["fetched"] + fetch["failed"]
    assert fetch["failed"] == sum(failures.values()) == sum(fetch["by_reason"].values())
    assert sum(fetch["by_http_status"].values()) + fetch["no_answer"] == ROWS


def test_a_later_run_counts_each_row_once(tmp_path: Path) -> None:
    rows = outcomes()
    first = run(tmp_path, rows, 100)
    again = run(tmp_path, rows[:300], 100)  # as when rows are tried again
    assert again["fetch"] == first["fetch"]
    assert again["timings"]["attempt"] == 2
