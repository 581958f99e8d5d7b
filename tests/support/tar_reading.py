"""Reads tars and tells what became of their samples."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.shards import jpeg

from beam_recap.inputs.formats import TAR
from beam_recap.inputs.tar_rows import count_rows, read_tar_rows
from beam_recap.inputs.units import Unit
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage

PICTURE = jpeg(16, 16)


def read(
    path: Path, *, done: set[int] | None = None, max_bytes: int = 1 << 20, limit: int | None = None, **columns: str
) -> tuple[list[Outcome], int]:
    """The outcomes and the number of samples in the tar."""
    chosen: dict[str, Any] = {"url_column": None, "caption_column": None, **columns}
    rows = read_tar_rows(Unit(str(path), 0, TAR, limit=limit), max_bytes=max_bytes, done=done or set(), **chosen)
    outcomes: list[Outcome] = []
    while True:
        try:
            outcomes.append(next(rows))
        except StopIteration as end:
            return outcomes, end.value


def read_bytes(tmp_path: Path, data: bytes, **settings: Any) -> list[Outcome]:
    """The outcomes of a tar's bytes; also checks what holds for every tar."""
    (tmp_path / "x.tar").write_bytes(data)
    outcomes, rows = read(tmp_path / "x.tar", **settings)
    assert [sample_of(outcome).index for outcome in outcomes] == list(range(rows))
    assert count_rows(str(tmp_path / "x.tar")) == rows
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            assert outcome.stage is Stage.READ and outcome.detail
    return outcomes


def sample_of(outcome: Outcome) -> Sample:
    return outcome.sample if isinstance(outcome, Rejection) else outcome


def keys(outcomes: Sequence[Outcome]) -> list[str]:
    return [sample_of(outcome).key for outcome in outcomes]


def reasons(outcomes: Sequence[Outcome]) -> list[Reason | None]:
    return [outcome.reason if isinstance(outcome, Rejection) else None for outcome in outcomes]


def members(
    *named: tuple[str, bytes] | tarfile.TarInfo, tar_format: int = tarfile.USTAR_FORMAT, **settings: Any
) -> bytes:
    """A tar of members by full name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format, **settings) as tar:
        for member in named:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def samples(count: int, prefix: str = "") -> list[dict[str, Any]]:
    return [
        {
            "__key__": f"{prefix}{number:03d}",
            "jpg": jpeg(16, 16, (number, 0, 0)),
            "txt": f"caption {number}".encode(),
            "json": json.dumps({"url": f"http://x/{number}"}).encode(),
        }
        for number in range(count)
    ]


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    return info


def headers(data: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [member.offset for member in tar.getmembers()]
