from __future__ import annotations

import threading
import time

import pytest

from beam_recap.outcome_buffer import OutcomeBuffer
from beam_recap.records import Sample


def rows(count: int) -> list[Sample]:
    return [Sample(unit="unit", index=index, uid=str(index), key=str(index)) for index in range(count)]


class Disk:
    """Takes outcomes; refuses while `is_full`."""

    def __init__(self) -> None:
        self.files: list[list[Sample]] = []
        self.is_full = False

    def write(self, outcomes: list[Sample]) -> list[str]:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.files.append(list(outcomes))
        return [f"file {len(self.files)}"]


def test_writes_by_count_for_all_threads():
    disk = Disk()
    buffer = OutcomeBuffer(disk.write, flush_rows=10, flush_seconds=1000)
    all_rows = rows(40)
    threads = [
        threading.Thread(target=lambda part: [buffer.add(row) for row in part], args=(all_rows[i::4],))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buffer.flush()
    assert sorted(row.index for file in disk.files for row in file) == list(range(40))
    assert len(disk.files) <= 5
    assert buffer.written() == [f"file {number + 1}" for number in range(len(disk.files))]
    assert buffer.written() == []


def test_writes_after_a_while_though_no_row_comes():
    disk = Disk()
    buffer = OutcomeBuffer(disk.write, flush_rows=100, flush_seconds=0.05)
    buffer.add(rows(1)[0])
    deadline = time.monotonic() + 20
    while not disk.files and time.monotonic() < deadline:
        time.sleep(0.01)
    assert disk.files == [rows(1)]
    buffer.flush()
    assert buffer.written() == ["file 1"]


def test_what_cannot_be_written_stays():
    disk = Disk()
    disk.is_full = True
    buffer = OutcomeBuffer(disk.write, flush_rows=3, flush_seconds=1000)
    first, second, third = rows(3)
    buffer.add(first)
    buffer.add(second)
    with pytest.raises(OSError, match="No space"):
        buffer.add(third)
    with pytest.raises(OSError, match="No space"):
        buffer.flush()
    disk.is_full = False
    buffer.flush()
    assert disk.files == [[first, second, third]]


def test_a_flush_waits_for_the_write_of_another_thread():
    may_write, writes = threading.Event(), threading.Event()
    disk = Disk()

    def slowly(outcomes: list[Sample]) -> list[str]:
        writes.set()
        may_write.wait(20)
        return disk.write(outcomes)

    buffer = OutcomeBuffer(slowly, flush_rows=1, flush_seconds=1000)
    adds = threading.Thread(target=buffer.add, args=(rows(1)[0],))
    adds.start()
    assert writes.wait(20)
    threading.Timer(0.1, may_write.set).start()
    buffer.flush()
    assert disk.files == [rows(1)]
    adds.join()


def test_closed():
    """It keeps what it had; who brings more waits."""
    disk = Disk()
    buffer = OutcomeBuffer(disk.write, flush_rows=100, flush_seconds=1000)
    first, late = rows(2)
    buffer.add(first)
    buffer.close()
    assert disk.files == [[first]]
    brings = threading.Thread(target=buffer.add, args=(late,), daemon=True)
    brings.start()
    brings.join(0.3)
    assert brings.is_alive()
    buffer.close()
    assert disk.files == [[first]]
