"""What a process counts, and how it tells."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from beam_recap.logs import log_plainly
from beam_recap.progress import PROGRESS, Phase
from beam_recap.progress.counter import MARK, Progress
from beam_recap.progress.counts import Counts, from_line, sum_counts, to_line
from beam_recap.records import Outcome, Reason, Sample, Stage


def row(index: int = 0, **values: object) -> Sample:
    return Sample(unit="in.parquet[0:9]", index=index, uid=str(index), key=str(index), **values)


def rejected(reason: Reason = Reason.HAS_TEXT) -> Outcome:
    return row(seconds=(0.25, 0.5, None, 1.0, None)).reject(Stage.OCR, reason)


def counted() -> Progress:
    progress = Progress()
    progress.watch()
    progress.unit_planned(9)
    progress.unit_planned(None)
    progress.unit_begun("in.parquet[0:9]", skipped=4)
    progress.outcome(row(seconds=(0.5, 0.5, 0.125, None, 2.0)))
    progress.outcome(rejected())
    progress.outcome(rejected(Reason.TIMEOUT))
    progress.fetched(1000)
    progress.fetched(234)
    progress.stream_ended(7)
    return progress


def test_everything_is_counted() -> None:
    counts = counted().counts()
    assert (counts.kept, counts.rows, counts.rejected) == (1, 3, {"has_text": 1, "timeout": 1})
    assert counts.stage_rows == [3, 3, 1, 2, 1]
    assert counts.stage_seconds == [1.0, 1.5, 0.125, 2.0, 2.0]
    assert (counts.fetched_bytes, counts.skipped, counts.begun_units) == (1234, 4, 1)
    assert (counts.planned_rows, counts.planned_streams, counts.ended_streams) == (9, 1, 1)
    assert (counts.ended_stream_rows, counts.unit) == (7, "in.parquet[0:9]")


def test_threads_lose_no_row() -> None:
    progress = Progress()
    progress.watch()
    outcome = rejected()
    threads = [threading.Thread(target=lambda: [progress.outcome(outcome) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.counts().rejected == {"has_text": 4000}
    assert progress.counts().stage_seconds[0] == 1000


def test_processes_are_summed_and_later_lines_replace_earlier_ones() -> None:
    command = Progress()
    command.watch()
    first, later = Counts(kept=1), Counts(kept=5, planned_rows=7)
    later.rejected["dns"] = 3
    command.heard(to_line("1-a", first))
    command.heard(to_line("2-b", counted().counts()))
    command.heard(to_line("1-a", later))
    counts = command.counts()
    assert counts.kept == 6
    assert counts.rejected == {"dns": 3, "has_text": 1, "timeout": 1}
    assert (counts.planned_rows, counts.stage_rows) == (16, [3, 3, 1, 2, 1])
    command.watch()
    assert command.counts() == Counts()


def test_a_line_gives_the_counts_again() -> None:
    counts = counted().counts()
    counts.unit = 'a "quoted" \\ näme\n'
    assert from_line(to_line("7-x", counts)) == ("7-x", counts)
    assert to_line("7-x", counts).isascii()
    assert sum_counts([counts]) == counts


@pytest.mark.parametrize("line", ["", "{}", "[1]", "null", '["1",{}]', '["1",{"kept":1}]', "[" * 10_000])
def test_other_lines_are_none(line: str) -> None:
    assert from_line(line) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("kept", value) for value in (-1, "1", True, 1e300, None)),
        *(("rejected", value) for value in ([], {"a": None})),
        *(("stage_rows", value) for value in ([1], None)),
        ("stage_seconds", ["x"] * 5),
    ],
)
def test_lines_of_wrong_values_are_none(name: str, value: object) -> None:
    process, values = json.loads(to_line("1", Counts()))
    assert from_line(json.dumps([process, {**values, name: value}])) is None


def test_a_worker_process_tells_the_command_through_beams_log() -> None:
    """As Beam writes a worker's line: the text of a structure, with C's escapes."""
    from apache_beam.portability.api import beam_fn_api_pb2

    worker, lines = counted(), []
    worker.tell_command()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("beam_recap.progress")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        worker.tell_now()
        worker.tell_now()  # nothing has changed
    finally:
        log.removeHandler(handler)
    assert len(lines) == 1 and lines[0].startswith(MARK)
    log_plainly()
    PROGRESS.watch()
    entry = beam_fn_api_pb2.LogEntry(message=lines[0], log_location="/x/counter.py:1", thread="progress")
    beams = logging.getLogger("apache_beam.runners.portability.local_job_service")
    beams.info("Worker: %s", str(entry).replace("\n", " "))
    assert PROGRESS.counts() == worker.counts()
    PROGRESS.watch()


def test_who_watches_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    progress = counted()
    progress.tell_now()
    assert progress._thread is None
    assert caplog.messages == []


def test_phases() -> None:
    progress = Progress()
    assert progress.phase is Phase.LOADING
    progress.stage_begins(["ReadShards/SpreadUnits/Read", "ReadShards/ReadUnits/ParDo(_ReadUnitFn)", "Curate/KeyUnits"])
    assert progress.phase is Phase.LOADING  # workers load their models first
    progress.unit_begun("a", skipped=0)
    assert progress.phase is Phase.ROWS
    progress.stage_begins(["Checkpoint/Files/Read", "WriteParquet/KeyFiles"])
    assert progress.phase is Phase.ROWS
    progress.stage_begins(["WriteSummary/Wait/Read", "WriteSummary/Write"])
    assert progress.phase is Phase.REPORT
