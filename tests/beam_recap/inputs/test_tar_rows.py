from __future__ import annotations

import gc
import json
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from support.shards import jpeg, tar_bytes, write_tar
from support.tar_reading import PICTURE, keys, members, read, read_bytes, reasons, sample_of, samples, special

from beam_recap.inputs.tar_rows import IMAGE_SUFFIXES, read_tar_rows
from beam_recap.inputs.units import TAR, Unit
from beam_recap.records import Reason, Sample


def test_a_samples_parts(tmp_path: Path) -> None:
    described = {"uid": "u1", "url": "http://x/a.jpg", "caption": "from json", "original_width": 640, "key": "other"}
    path = write_tar(tmp_path / "a.tar", [{"__key__": "k1", "jpg": PICTURE, "json": json.dumps(described).encode()}])
    ((sample,), rows) = read(path)
    assert rows == 1
    assert sample == Sample(
        unit=f"{path}[0:]",
        index=0,
        uid="u1",
        key="k1",
        url="http://x/a.jpg",
        caption="from json",
        source_row=0,
        source_width=640,
        image_bytes=PICTURE,
    )


def test_samples_come_in_order(tmp_path: Path) -> None:
    outcomes = read_bytes(tmp_path, tar_bytes(samples(5)))
    assert keys(outcomes) == ["000", "001", "002", "003", "004"]
    assert [sample_of(row).caption for row in outcomes] == [f"caption {n}" for n in range(5)]
    assert [sample_of(row).image_bytes for row in outcomes] == [jpeg(16, 16, (n, 0, 0)) for n in range(5)]


def test_without_an_id_the_url_and_the_caption_are_the_identity(tmp_path: Path) -> None:
    first, second = (read_bytes(tmp_path, tar_bytes(samples(1, prefix)))[0] for prefix in ("a/", "b/"))
    assert sample_of(first).uid == sample_of(second).uid
    bare = [read_bytes(tmp_path, tar_bytes([{"__key__": key, "jpg": PICTURE}]))[0] for key in ("a", "b")]
    assert sample_of(bare[0]).uid != sample_of(bare[1]).uid


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, "JPG", "Jpeg", "photo.jpg", "cover.PNG"])
def test_picture_suffixes(tmp_path: Path, suffix: str) -> None:
    (row,) = read_bytes(tmp_path, members((f"k.{suffix}", PICTURE)))
    assert isinstance(row, Sample)
    assert (row.key, row.image_bytes) == ("k", PICTURE)


@pytest.mark.parametrize("suffix", ["txt", "caption", "text", "TXT"])
def test_caption_suffixes(tmp_path: Path, suffix: str) -> None:
    (row,) = read_bytes(tmp_path, members(("k.jpg", PICTURE), (f"k.{suffix}", b" a cat \n")))
    assert sample_of(row).caption == "a cat"


@pytest.mark.parametrize(
    ("described", "caption"),
    [
        ({"caption": "json"}, "json"),
        ({"org_caption": "json"}, "json"),
        ({"caption": None}, "text"),
        ({"caption": " "}, "text"),
        ({"caption": float("nan")}, "text"),
        ({}, "text"),
        ([1], "text"),
        ("words", "text"),
    ],
    ids=str,
)
def test_a_caption_in_json_comes_before_one_in_text(tmp_path: Path, described: Any, caption: str) -> None:
    (row,) = read_bytes(
        tmp_path, members(("k.jpg", PICTURE), ("k.txt", b"text"), ("k.json", json.dumps(described).encode()))
    )
    assert isinstance(row, Sample)
    assert row.caption == caption


def test_chosen_columns(tmp_path: Path) -> None:
    described = {"url": "wrong", "caption": "wrong", "link": "http://x", "alt": "right"}
    write_tar(tmp_path / "a.tar", [{"__key__": "k", "jpg": PICTURE, "json": json.dumps(described).encode()}])
    ((row,), _) = read(tmp_path / "a.tar", url_column="link", caption_column="alt")
    assert (sample_of(row).url, sample_of(row).caption) == ("http://x", "right")


def test_odd_text_in_json(tmp_path: Path) -> None:
    raw = b'{"url": "http://x/\\ud800", "width": 1e999, "height": 99999999999999999999999, "caption": true}'
    (row,) = read_bytes(tmp_path, members(("k.jpg", PICTURE), ("k.json", raw)))
    assert isinstance(row, Sample)
    assert (row.url, row.caption, row.source_width, row.source_height) == ("http://x/?", "True", None, None)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"width": ' + b"9" * 5000 + b"}"],
    ids=["cut", "bytes", "deep", "digits"],
)
def test_json_that_cannot_be_read_costs_its_sample(tmp_path: Path, raw: bytes) -> None:
    outcomes = read_bytes(tmp_path, members(("a.jpg", PICTURE), ("a.json", raw), ("b.jpg", PICTURE)))
    assert keys(outcomes) == ["a", "b"]
    assert reasons(outcomes) == [Reason.CORRUPT_SHARD, None]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/1.jpg", "a/1.txt", "b/1.jpg"], ["a/1", "b/1"]),
        (["./1.jpg", "./1.txt"], ["1"]),
        (["a.b/1.jpg", "a.b/1.x.txt"], ["a.b/1"]),
        (["1.jpg", "1.seg.txt", "1.txt"], ["1"]),
        (["1.jpg", "1.jpg"], ["1", "1"]),
        (["1.jpg", "1.txt", "1.jpg", "1.txt"], ["1", "1"]),
        (["1.jpg", "1.JPG"], ["1", "1"]),
        (["1.jpg", "2.jpg", "1.txt"], ["1", "2", "1"]),
        (["1.jpg", "._1.jpg", ".DS_Store", "d/.hidden", "1.txt", "2.jpg"], ["1", "2"]),
    ],
)
def test_members_are_grouped_as_webdataset_does(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    assert keys(read_bytes(tmp_path, members(*((name, PICTURE) for name in names)))) == expected


@pytest.mark.parametrize("names", [["a.txt"], ["a.json.gz"], ["a"], ["a.jpgx"]])
def test_a_sample_without_a_picture_is_rejected(tmp_path: Path, names: list[str]) -> None:
    outcomes = read_bytes(tmp_path, members(*((name, b"text") for name in names), ("b.jpg", PICTURE)))
    assert reasons(outcomes) == [Reason.MISSING_IMAGE, None]


@pytest.mark.parametrize(("suffix", "size"), [("jpg", (1 << 16) + 1), ("txt", (1 << 20) + 1), ("json", (1 << 20) + 1)])
def test_members_that_are_too_large_are_not_read(tmp_path: Path, suffix: str, size: int) -> None:
    data = tar_bytes([{"__key__": "a", "jpg": PICTURE, suffix: b" " * size}, {"__key__": "b", "jpg": PICTURE}])
    outcomes = read_bytes(tmp_path, data, max_bytes=1 << 16)
    assert reasons(outcomes) == [Reason.TOO_LARGE, None]
    assert f"a.{suffix} has {size} bytes" in outcomes[0].detail  # type: ignore[union-attr]


def test_a_picture_of_just_the_largest_size_is_read(tmp_path: Path) -> None:
    assert reasons(read_bytes(tmp_path, members(("a.jpg", PICTURE)), max_bytes=len(PICTURE))) == [None]


@pytest.mark.parametrize("done", [set(), {0}, {1, 3}, {0, 1, 2, 3}])
def test_samples_with_an_outcome_are_skipped_but_counted(tmp_path: Path, done: set[int]) -> None:
    outcomes, rows = read(write_tar(tmp_path / "a.tar", samples(4)), done=done)
    assert rows == 4
    assert [sample_of(row).index for row in outcomes] == [index for index in range(4) if index not in done]


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_a_limit_stops_early(tmp_path: Path, limit: int, expected: int) -> None:
    outcomes, rows = read(write_tar(tmp_path / "a.tar", samples(4)), limit=limit)
    assert (len(outcomes), rows) == (expected, expected)


def test_an_empty_tar_has_no_rows(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, tar_bytes([])) == []


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(tmp_path: Path, tar_format: int) -> None:
    name = "folder/" + "ä" * 150 + "/" + "k" * 200
    data = members(
        ("0.jpg", PICTURE), (f"{name}.jpg", PICTURE), (f"{name}.txt", b"t"), ("1.jpg", PICTURE), tar_format=tar_format
    )
    outcomes = read_bytes(tmp_path, data)
    assert keys(outcomes) == ["0", name, "1"]
    assert reasons(outcomes) == [None] * 3


def test_a_global_header_is_no_damage(tmp_path: Path) -> None:
    data = members(("a.jpg", PICTURE), ("b.jpg", PICTURE), tar_format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"})
    assert reasons(read_bytes(tmp_path, data)) == [None, None]
    assert reasons(read_bytes(tmp_path, data + data)) == [None] * 4


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_that_are_no_utf8_become_keys_that_can_be_written(tmp_path: Path, tar_format: int) -> None:
    outcomes = read_bytes(tmp_path, members(("q\udcff.jpg", PICTURE), ("q\udcff.x\udcfe", b"1"), tar_format=tar_format))
    assert keys(outcomes) == ["q\ufffd"]
    keys(outcomes)[0].encode()


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_files_count(tmp_path: Path, kind: bytes) -> None:
    data = members(
        special("s0", kind),
        ("a.jpg", PICTURE),
        special("a.txt", kind),
        ("a.json", b"{}"),
        special("b.jpg", kind),
        ("c.jpg", PICTURE),
    )
    outcomes = read_bytes(tmp_path, data)
    assert keys(outcomes) == ["a", "c"]
    assert reasons(outcomes) == [None, None]
    assert sample_of(outcomes[0]).caption is None


def test_a_sparse_file_of_any_size_is_bounded(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"  # 8 GiB, none of it stored
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    outcomes = read_bytes(tmp_path, bytes(header) + members(("b.jpg", PICTURE)))
    assert reasons(outcomes) == [Reason.TOO_LARGE, None]


def test_concatenated_tars(tmp_path: Path) -> None:
    data = tar_bytes(samples(2, "a")) + tar_bytes(samples(2, "b")) + tar_bytes([]) + tar_bytes(samples(1, "c"))
    outcomes = read_bytes(tmp_path, data)
    assert keys(outcomes) == ["a000", "a001", "b000", "b001", "c000"]
    assert reasons(outcomes) == [None] * 5


def test_headers_do_not_pile_up(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [{"__key__": f"{n:05d}", "jpg": b"x", "txt": b"y"} for n in range(1500)])
    unit = Unit(str(path), 0, TAR)
    for row in read_tar_rows(unit, url_column=None, caption_column=None, max_bytes=10, done=set()):
        if row.index == 1400:  # type: ignore[union-attr]
            assert sum(isinstance(thing, tarfile.TarInfo) for thing in gc.get_objects()) < 20


def test_pictures_do_not_pile_up(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [{"__key__": f"{n:05d}", "jpg": bytes(1 << 20)} for n in range(32)])
    unit = Unit(str(path), 0, TAR)
    tracemalloc.start()
    try:
        rows = sum(1 for _ in read_tar_rows(unit, url_column=None, caption_column=None, max_bytes=1 << 21, done=set()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 32
    assert peak < 8 << 20


def test_the_expected_digest_is_in_the_json(tmp_path: Path) -> None:
    first, second = samples(2)
    first["json"] = json.dumps({"md5": " AB"}).encode()
    path = write_tar(tmp_path / "x.tar", [first, second])
    for chosen, expected in (({"digest_column": "md5"}, ["ab", None]), ({}, [None, None])):
        rows, _ = read(path, **chosen)
        assert [sample_of(row).expected_digest for row in rows] == expected
