from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.shards import tar_bytes
from support.tar_reading import PICTURE, headers, keys, members, read, read_bytes, reasons, sample_of, samples, special

from beam_recap.records import Reason, Rejection, Sample


def complete(samples: Sequence[Mapping[str, Any]], tar_format: int) -> tuple[bytes, list[int]]:
    """A tar, and where the data of each of its samples ends."""
    data = tar_bytes(samples, tar_format)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        ends = [member.offset_data + member.size for member in tar.getmembers() if member.name.endswith(".json")]
    assert len(ends) == len(samples)
    return data, ends


@pytest.mark.parametrize(
    ("tar_format", "prefix"),
    [(tarfile.USTAR_FORMAT, ""), (tarfile.PAX_FORMAT, "ä" * 70), (tarfile.GNU_FORMAT, "n" * 120)],
    ids=["ustar", "pax", "gnu"],
)
def test_a_tar_cut_anywhere_gives_every_sample_before_the_cut(tmp_path: Path, tar_format: int, prefix: str) -> None:
    data, ends = complete(samples(3, prefix), tar_format)
    whole = read_bytes(tmp_path, data)
    cuts = sorted({*range(0, len(data), 100), *range(0, len(data), 512), *ends, *(end - 1 for end in ends)})
    for cut in cuts:
        outcomes = read_bytes(tmp_path, data[:cut])
        before = sum(end <= cut for end in ends)
        assert outcomes[:before] == whole[:before], cut
        rejected = [row for row in outcomes[before:] if isinstance(row, Rejection)]
        assert {row.reason for row in rejected} <= {Reason.CORRUPT_SHARD, Reason.MISSING_IMAGE}, cut
        assert len(outcomes) <= before + 2, cut


def damaged(data: bytes, *offsets: int, length: int = 300) -> bytes:
    changed = bytearray(data)
    for offset in offsets:
        changed[offset : offset + length] = bytes(byte ^ 0xA5 for byte in changed[offset : offset + length])
    return bytes(changed)


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("victim", range(12))
def test_a_damaged_header_costs_no_other_sample(tmp_path: Path, tar_format: int, victim: int) -> None:
    """Of four samples with three members each: a lost last member looks like a lost sample, and adds a rejection."""
    data = tar_bytes(samples(4, "ä" * 70 if tar_format == tarfile.PAX_FORMAT else ""), tar_format)
    whole = read_bytes(tmp_path, data)
    outcomes = read_bytes(tmp_path, damaged(data, headers(data)[victim]))
    sound = {row.key: row for row in outcomes if isinstance(row, Sample)}
    for row in whole:
        assert isinstance(row, Sample)
        if row.index != victim // 3:
            assert sound[row.key].image_bytes == row.image_bytes
            assert (sound[row.key].url, sound[row.key].caption) == (row.url, row.caption)
    if tar_format == tarfile.USTAR_FORMAT:
        assert len(outcomes) == 4 + (victim % 3 == 2)
        assert reasons(outcomes).count(Reason.CORRUPT_SHARD) == 1
    else:  # a member whose extended header is lost turns up under another name
        assert 4 <= len(outcomes) <= 6
        assert Reason.CORRUPT_SHARD in reasons(outcomes)


@pytest.mark.parametrize("victim", range(4))
def test_a_damaged_sample_is_one_rejection(tmp_path: Path, victim: int) -> None:
    data = tar_bytes(samples(4))
    outcomes = read_bytes(tmp_path, damaged(data, *headers(data)[victim * 3 : victim * 3 + 3]))
    assert reasons(outcomes) == [Reason.CORRUPT_SHARD if index == victim else None for index in range(4)]
    assert [row.caption for row in outcomes if isinstance(row, Sample)] == [
        f"caption {index}" for index in range(4) if index != victim
    ]
    lost = sample_of(outcomes[victim])
    assert lost.source_row == victim and lost.uid and "damaged bytes at offset" in outcomes[victim].detail  # type: ignore[union-attr]


def test_damage_before_a_folder_is_not_forgotten(tmp_path: Path) -> None:
    data = members(("a.jpg", PICTURE), ("b.jpg", PICTURE), special("folder", tarfile.DIRTYPE), ("c.jpg", PICTURE))
    outcomes = read_bytes(tmp_path, damaged(data, headers(data)[1]))
    assert reasons(outcomes) == [None, Reason.CORRUPT_SHARD, None]


def test_zeroed_headers_are_damage_too(tmp_path: Path) -> None:
    data = bytearray(members(("a.jpg", PICTURE), ("b.jpg", PICTURE), ("c.jpg", PICTURE)))
    offset = headers(bytes(data))[1]
    data[offset : offset + 512] = bytes(512)
    assert reasons(read_bytes(tmp_path, bytes(data))) == [None, Reason.CORRUPT_SHARD, None]


def test_bytes_after_the_end_are_said(tmp_path: Path) -> None:
    outcomes = read_bytes(tmp_path, tar_bytes(samples(2)) + b"x" * 3000)
    assert reasons(outcomes) == [None, None, Reason.CORRUPT_SHARD]


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("n.jpg")
    info.type = kind
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def pax_size(size: str) -> bytes:
    """An extended header that gives its member another size."""
    record = f" size={size}\n"
    length = len(record) + 2
    record = f"{length + (length > 99)}{record}" if length < 98 else f"{length + 1}{record}"
    return header(tarfile.XHDTYPE, len(record)) + record.encode().ljust(512, b"\0") + header(tarfile.REGTYPE, 0)


HOSTILE = {
    "negative size, back to itself": header(tarfile.REGTYPE, -512),
    "negative size, far back": header(tarfile.REGTYPE, -(1 << 20)),
    "negative extended header": header(tarfile.XHDTYPE, -512),
    "negative long name": header(tarfile.GNUTYPE_LONGNAME, -512),
    "extended header of a terabyte": header(tarfile.XHDTYPE, 1 << 40),
    "size beyond every file": header(tarfile.REGTYPE, 1 << 80),
    "negative size in an extended header": pax_size("-2048"),
    "size in an extended header that is no number": pax_size("many"),
    "extended headers without end": header(tarfile.XHDTYPE, 0) * 3000,
    "long names without end": header(tarfile.GNUTYPE_LONGNAME, 0) * 3000,
    "an extended header that nothing follows": header(tarfile.XHDTYPE, 0) + b"?" * 512,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("block", HOSTILE.values(), ids=HOSTILE)
def test_headers_made_to_harm_end_as_rejections(tmp_path: Path, block: bytes) -> None:
    data = members(("a.jpg", PICTURE), ("b.jpg", PICTURE))
    second = headers(data)[1]
    outcomes = read_bytes(tmp_path, data[:second] + block + data[second:])
    assert keys(outcomes)[0] == "a" and isinstance(outcomes[0], Sample)
    assert len(outcomes) <= 4
    read_bytes(tmp_path, block + data)  # as the first header
    read_bytes(tmp_path, data[:second] + block)  # as the last


def test_hostile_headers_leave_what_follows(tmp_path: Path) -> None:
    data = members(("a.jpg", PICTURE), ("b.jpg", PICTURE))
    second = headers(data)[1]
    for name in (
        "negative size, back to itself",
        "extended header of a terabyte",
        "negative size in an extended header",
    ):
        outcomes = read_bytes(tmp_path, data[:second] + HOSTILE[name] + data[second:])
        assert keys(outcomes)[-1] == "b" and isinstance(outcomes[-1], Sample), name


def test_an_unreadable_file_system_ends_the_tar_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar_bytes(samples(3))

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= headers(data)[3]:
                raise OSError("the network is gone")
            return super().read(size)

    monkeypatch.setattr("beam_recap.files.open_read", lambda path: Failing(data))
    outcomes, rows = read(tmp_path / "a.tar")
    assert rows == len(outcomes) >= 1
    assert reasons(outcomes)[-1] is Reason.CORRUPT_SHARD
    assert "the network is gone" in outcomes[-1].detail  # type: ignore[union-attr]
