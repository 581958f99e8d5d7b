"""What is worked out from counts: totals, rates, and the time that is left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.shards import jpeg, write_parquet, write_tar

from beam_recap import checkpoint
from beam_recap.progress.counts import Counts
from beam_recap.progress.phases import Phase
from beam_recap.progress.status import History, Status
from beam_recap.progress.totals import SideCount, Streams, Total, total_of
from beam_recap.progress.wording import duration, rate, reasons, rows_line, size
from beam_recap.records import Reason, Sample, Stage
from beam_recap.slices import Slice


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def run_of(rows_per_s: float, seconds: int, counts: Counts, **facts: object) -> Status:
    """The last status of a run that is looked at twice a second."""
    clock = Clock()
    history = History(clock)
    counts = counts.copy()
    counts.begun_units = 1
    status = history.see(counts.copy(), Phase.ROWS, **facts)
    for _ in range(2 * seconds):
        clock.now += 0.5
        counts.kept += round(rows_per_s / 2)
        counts.fetched_bytes += 500
        counts.stage_rows[1] += round(rows_per_s / 2)
        counts.stage_seconds[1] += 0.002 * round(rows_per_s / 2)
        status = history.see(counts.copy(), Phase.ROWS, **facts)
    return status


def test_rates_and_the_time_left() -> None:
    status = run_of(10, 20, Counts(planned_rows=1000))
    assert status.total == Total(1000)
    assert (status.done, status.kept) == (200, 200)
    assert status.rows_per_s == pytest.approx(10)
    assert status.left_s == pytest.approx(80)
    assert status.bytes_per_s == pytest.approx(1000)
    (clip,) = status.stages
    assert (clip.stage, clip.rows_per_s, clip.ms_per_row) == ("clip", pytest.approx(10), pytest.approx(2))
    assert rows_line(status) == (
        "200 of 1,000 rows done (20 %), 200 kept, 0 rejected, 10.0 rows/s, 20 kB downloaded (1 kB/s), ETA 1:20; "
        "by stage, rows/s: clip 10.0"
    )


@pytest.mark.parametrize("known", [True, False])
def test_rows_done_before_spoil_neither_rate_nor_time(known: bool) -> None:
    """They count as done at once; where only some of them are known yet, the time is a bound."""
    counts = Counts(planned_rows=1000, skipped=100)
    status = run_of(10, 20, counts, done_before=600 if known else None)
    assert status.rows_per_s == pytest.approx(10)
    assert status.resumed == (600 if known else 100)
    assert status.done == 200 + status.resumed
    assert status.left_s == pytest.approx((1000 - status.done) / 10)
    assert status.left_at_most is not known
    assert f"resumed: {status.resumed} were done" in rows_line(status)


def test_waiting_for_the_first_row_is_no_work() -> None:
    clock = Clock()
    history = History(clock)
    history.see(Counts(), Phase.LOADING)
    clock.now += 600
    counts = Counts(begun_units=1, planned_rows=100)
    assert history.see(counts.copy(), Phase.ROWS).rows_per_s is None
    for _ in range(10):
        clock.now += 1
        counts.kept += 2
        status = history.see(counts.copy(), Phase.ROWS)
    assert status.rows_per_s == pytest.approx(2)
    assert status.elapsed_s == 610


def test_worker_processes_tell_of_units_one_after_the_other() -> None:
    """What the first has told is not called the total."""
    clock = Clock()
    history = History(clock)
    counts = Counts(begun_units=1, planned_rows=100, kept=3)
    assert history.see(counts.copy(), Phase.ROWS, in_processes=True).total == Total()
    clock.now += 3
    counts.planned_rows = 200
    assert history.see(counts.copy(), Phase.ROWS, in_processes=True).total == Total(200)


def test_more_rows_than_the_total_is_no_total() -> None:
    assert run_of(10, 5, Counts(planned_rows=20)).total == Total()


@pytest.mark.parametrize(
    ("counts", "streams", "total"),
    [
        (Counts(), Streams(), Total()),
        (Counts(begun_units=1), Streams(), Total(0)),
        (Counts(planned_rows=9), Streams(), Total(9)),
        (Counts(planned_rows=9, planned_streams=1), Streams(), Total()),
        (Counts(planned_rows=9, planned_streams=1, ended_streams=1, ended_stream_rows=5), Streams(), Total(14)),
        (Counts(planned_rows=9, planned_streams=2), Streams(2, 6, True), Total(15)),
        # Files have come or gone since.
        (Counts(planned_streams=4), Streams(2, 6, True), Total(12, True)),
        (Counts(planned_streams=4, ended_streams=1, ended_stream_rows=5), Streams(1, 5), Total()),
        (Counts(planned_streams=4, ended_streams=2, ended_stream_rows=10), Streams(), Total(20, True)),
        # An estimate is not below what is done.
        (Counts(planned_streams=4, ended_streams=2, ended_stream_rows=10, kept=30), Streams(), Total(30, True)),
    ],
)
def test_totals(counts: Counts, streams: Streams, total: Total) -> None:
    assert total_of(counts, streams) == total


def side_count(folder: Path, output: Path, attempt: int, **more: object) -> SideCount:
    side = SideCount((str(folder),), more.get("part"), str(output), attempt, str(more.get("retry", "none")))
    side.count_streams()
    side._run()
    return side


def test_streams_are_counted_beside_the_run(tmp_path: Path) -> None:
    picture = jpeg(8, 8, "red")
    for number, rows in enumerate((3, 4, 5)):
        samples = [{"__key__": f"{row}", "jpg": picture, "txt": b"a"} for row in range(rows)]
        write_tar(tmp_path / f"in-{number}.tar", samples)
    write_parquet(tmp_path / "in.parquet", {"url": ["http://x.y/a.jpg"] * 7, "text": ["a"] * 7})
    assert side_count(tmp_path, tmp_path / "out", 1).streams == Streams(3, 12, True)
    sliced = [side_count(tmp_path, tmp_path / "out", 1, part=Slice(number, 2)).streams for number in (1, 2)]
    assert [one.is_all for one in sliced] == [True, True]
    assert (sum(one.units for one in sliced), sum(one.rows for one in sliced)) == (3, 12)


def test_rows_of_earlier_attempts_are_counted_beside_the_run(tmp_path: Path) -> None:
    rows = [Sample(unit=f"u{index // 4}", index=index % 4, uid="", key="") for index in range(8)]
    output = str(tmp_path)
    checkpoint.write_outcomes(output, 1, rows[:5])
    checkpoint.write_outcomes(output, 1, [rows[0], rows[5].reject(Stage.FETCH, Reason.TIMEOUT)])  # one of them twice
    checkpoint.write_outcomes(output, 2, rows[6:])
    assert side_count(tmp_path / "none", tmp_path, 1).done_before == 0
    assert side_count(tmp_path / "none", tmp_path, 2).done_before == 6
    assert side_count(tmp_path / "none", tmp_path, 2, retry="transient").done_before == 5
    assert side_count(tmp_path / "none", tmp_path, 3).done_before == 8
    assert side_count(tmp_path / "none", tmp_path, 2, part=Slice(1, 2)).done_before is None


def test_numbers_in_words() -> None:
    assert [size(number) for number in (0, 812, 12_345, 1_200_000, 3.5e9, 2.5e15)] == [
        "0 B", "812 B", "12.3 kB", "1.2 MB", "3.5 GB", "2,500.0 TB",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (0.4, 62, 3723, 200_000)] == ["0:00", "1:02", "1:02:03", "2 d 7 h"]
    assert [rate(number) for number in (0.04, 8.44, 99.96, 1203.4, None)] == ["0.0", "8.4", "100", "1,203", "-"]
    counts = Counter({"dns": 5, "timeout": 5, "has_text": 9, "corrupt": 1, "reset": 0})
    assert reasons(counts, 2) == "has_text 9, dns 5, others 6"
    assert reasons(counts) == "has_text 9, dns 5, timeout 5, corrupt 1"
    assert reasons({}) == ""
