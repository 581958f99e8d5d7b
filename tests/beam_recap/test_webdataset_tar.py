from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import webdataset

from beam_recap.webdataset_tar import TarKeys, WebdatasetWriter, to_json

Row = tuple[str, bytes, dict[str, Any], str | None]
ROWS: list[Row] = [
    ("000000001", b"\xff\xd8 one", {"key": "000000001", "caption": "日本語 🎈"}, "日本語 🎈"),
    ("a-b_C", b"\xff\xd8" + bytes(511), {"score": math.nan, "boxes": [[0.5, math.inf]]}, None),
    ("row-00003000000002", b"", {}, ""),
]


def write(path: Path, rows: Sequence[Row]) -> WebdatasetWriter:
    writer = WebdatasetWriter(path.name)
    with writer.open(str(path.parent)):
        for row in rows:
            writer.add(*row)
    return writer


def test_members_come_as_img2dataset_lays_them_out(tmp_path: Path) -> None:
    writer = write(tmp_path / "a.tar", ROWS)
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [
            f"{key}.{suffix}" for key, *_ in ROWS for suffix in ("jpg", "json", "txt")
        ]
        contents = [tar.extractfile(member).read() for member in members]
    assert contents[0::3] == [picture for _, picture, _, _ in ROWS]
    assert contents[2::3] == ["日本語 🎈".encode(), b"", b""]
    assert [json.loads(text) for text in contents[1::3]] == [
        {"key": "000000001", "caption": "日本語 🎈"},
        {"score": None, "boxes": [[0.5, None]]},
        {},
    ]
    assert "日本語".encode() in contents[1]
    assert writer.rows == 3


def test_nothing_in_the_tar_depends_on_when_and_who(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", ROWS)
    with tarfile.open(tmp_path / "a.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert (member.mode, member.type, member.pax_headers) == (0o644, tarfile.REGTYPE, {})


def test_size_and_digest_are_those_of_the_file(tmp_path: Path) -> None:
    for rows in (ROWS, ROWS[:1], []):
        writer = write(tmp_path / "a.tar", rows)
        data = (tmp_path / "a.tar").read_bytes()
        assert (writer.size, writer.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert len(data) % tarfile.RECORDSIZE == 0


def test_the_bytes_are_those_of_pythons_own_writer(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", ROWS)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, picture, described, caption in ROWS:
            for suffix, data in (("jpg", picture), ("json", to_json(described)), ("txt", (caption or "").encode())):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    assert (tmp_path / "a.tar").read_bytes() == buffer.getvalue()


def test_webdataset_reads_it_also_beside_an_empty_one(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", [])
    write(tmp_path / "1.tar", ROWS)
    write(tmp_path / "2.tar", [])
    read = list(webdataset.WebDataset(f"{tmp_path}/{{0..2}}.tar", shardshuffle=False))
    assert [sample["__key__"] for sample in read] == [key for key, *_ in ROWS]
    assert [sample["txt"].decode() for sample in read] == ["日本語 🎈", "", ""]
    assert [sample["jpg"] for sample in read] == [picture for _, picture, _, _ in ROWS]


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    writer = WebdatasetWriter("a.tar")
    with pytest.raises(RuntimeError), writer.open(str(tmp_path)):
        writer.add(*ROWS[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_it_is_a_stream(tmp_path: Path) -> None:
    picture = bytes(1 << 20)
    tracemalloc.start()
    writer = WebdatasetWriter("a.tar")
    with writer.open(str(tmp_path)):
        for row in range(64):
            writer.add(f"{row}", picture, {"n": row}, "a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert writer.size > 64 << 20
    assert peak < 4 << 20


@pytest.mark.parametrize("key", ["000000001", "a", "A-b_9", "x" * 95, "row", "_row-1"])
def test_a_plain_key_is_kept(key: str) -> None:
    assert TarKeys(3).next(key) == key


@pytest.mark.parametrize(
    "key",
    ["", ".", "a.b", "a/b", "../a", "/a", "a b", "日本", "a\n", "\0", "x" * 96, "row-00003000000000", "ROW-x", "a\\b"],
)
def test_any_other_key_is_replaced(key: str) -> None:
    assert TarKeys(3).next(key) == "row-00003000000000"


def test_a_key_that_comes_again_is_replaced() -> None:
    keys = TarKeys(12)
    assert [keys.next(key) for key in ("a", "b", "a", "A", "é", "row-00012000000002", "c")] == [
        "a",
        "b",
        "row-00012000000002",
        "row-00012000000003",
        "row-00012000000004",
        "row-00012000000005",
        "c",
    ]


def test_a_lone_surrogate_does_not_end_the_run(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", [("a", b"", {"caption": "x\ud800"}, "x\ud800")])
    (sample,) = webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)
    assert json.loads(sample["json"]) == {"caption": "x?"}
    assert sample["txt"] == b"x?"
