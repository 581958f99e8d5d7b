"""`files` at ``gs://`` paths, through Beam's own file system and Google's own client."""

from __future__ import annotations

import gc

import pytest
from apache_beam.io.filesystems import FileSystems
from google.cloud import storage
from google.cloud.exceptions import PreconditionFailed
from google.cloud.storage.exceptions import InvalidResponse
from support.gcs_faults import NowAndThen
from support.gcs_server import GcsServer

from beam_recap import files


@pytest.mark.parametrize("data", [b"", b"a\r\n--b\n\0c\r\n", bytes(range(256)) * 100_000])
def test_a_file_appears_when_it_is_whole(gcs: GcsServer, data: bytes) -> None:
    gcs.buckets.add("b")
    with files.write_whole("gs://b/run/x y+ü.bin") as file:
        file.write(data)
        assert files.match("gs://b/run/*") == []
    assert list(gcs.objects) == ["gs://b/run/x y+ü.bin"] == files.match("gs://b/run/*")
    assert files.read_bytes("gs://b/run/x y+ü.bin") == data
    files.write_bytes("gs://b/run/x y+ü.bin", b"again")
    assert files.read_bytes("gs://b/run/x y+ü.bin") == b"again"


def test_an_error_leaves_nothing(gcs: GcsServer) -> None:
    gcs.buckets.add("b")
    with pytest.raises(ValueError, match="broke"), files.write_whole("gs://b/x") as file:
        file.write(b"half")
        raise ValueError("broke")
    assert not gcs.objects


def test_nothing_is_uploaded_after_an_error(gcs: GcsServer) -> None:
    """Google's writers try again when they are collected."""
    gcs.buckets.add("b")
    gcs.fault = lambda request: 403 if request.startswith("upload") else 0
    with pytest.raises(InvalidResponse):
        files.write_bytes("gs://b/x", b"data")
    gc.collect()
    gcs.fault = lambda request: 403
    with pytest.raises(KeyboardInterrupt), files.write_whole("gs://b/x") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    gc.collect()
    assert sum(count for request, count in gcs.requests.items() if request.startswith("upload")) == 1
    assert not gcs.objects


@pytest.mark.usefixtures("quick_retries")
def test_broken_connections(gcs: GcsServer) -> None:
    """Uploads of two chunks, downloads and renames, each broken off once in every way."""
    data = bytes(range(256)) * 100_000
    gcs.buckets.add("b")
    faults = NowAndThen(share=0)
    gcs.fault = lambda request: faults(request) if request.startswith(("chunk", "batch", "download")) else 0
    for number in range(5):
        files.write_bytes(f"gs://b/{number}", data)
        assert files.read_bytes(f"gs://b/{number}") == data
    assert not faults.missing("chunk batch download")
    assert list(gcs.objects) == [f"gs://b/{number}" for number in range(5)]


def test_temporary_objects_are_not_among_the_others(gcs: GcsServer) -> None:
    gcs.buckets.add("b")
    with files.write_whole("gs://b/data/x.parquet") as file:
        file.close()
        assert len(gcs.objects) == 1
        for pattern in ("gs://b/data/*", "gs://b/data/*.parquet"):  # as others look
            assert FileSystems.match([pattern])[0].metadata_list == []
        assert files.match_beneath("gs://b/data") == [] and not files.holds_files("gs://b")
        assert files.unfinished_in("gs://b/data", "x") == list(gcs.objects) == files.unfinished_in("gs://b/data/")
        assert files.unfinished_in("gs://b/data", "y") == files.unfinished_in("gs://b") == []
    assert list(gcs.objects) == ["gs://b/data/x.parquet"]


@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_names_with_glob_characters(gcs: GcsServer) -> None:
    others = ["gs://b/run1/x", "gs://b/runs/x"]
    for name in others:
        gcs.put(name, b"")
    for folder in ("gs://b/run[1]", "gs://b/run*", "gs://b/run?"):
        assert not files.holds_files(folder)
        files.write_bytes(f"{folder}/x", b"here")
        assert files.match_in(folder, "*") == [f"{folder}/x"]
        assert list(files.versions_in(folder)) == [f"{folder}/x"]
        gcs.put(f"{folder}/.tmp/.tmp-{'0' * 32}-x", b"")
        files.delete(files.unfinished_in(folder))
        assert files.match_in(folder, "**") == [f"{folder}/x"]
        files.delete([f"{folder}/x"])
    assert list(gcs.objects) == others


def test_parts_of_a_large_file(gcs: GcsServer) -> None:
    gcs.put("gs://b/large", bytes(20 << 20) + b"the end")
    with files.open_read("gs://b/large") as file:
        file.seek(-7, 2)
        assert file.read() == b"the end"
    assert gcs.sent["gs://b/large"] == 7


def test_listing_existence_and_deletion(gcs: GcsServer) -> None:
    names = [f"gs://b/d/{number}" for number in range(5)] + ["gs://b/d/e/f", "gs://b/dd"]
    for name in names:
        gcs.put(name, b"")
    gcs.page = 2
    assert files.match_beneath("gs://b/d") == names[:6]
    assert files.holds_files("gs://b/d/e") and not files.holds_files("gs://b/none")
    assert files.exists("gs://b/dd") and not files.exists("gs://b/ddd")
    files.delete([*names[:6], "gs://b/none"])
    assert list(gcs.objects) == ["gs://b/dd"]


def test_what_else_the_client_asks(gcs: GcsServer) -> None:
    gcs.buckets.add("b")
    bucket = storage.Client().bucket("b")
    blob = bucket.blob("a/b.txt")
    blob.upload_from_string("one", content_type="text/plain", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string("two", if_generation_match=0)
    assert blob.download_as_text() == "one" and blob.content_type == "text/plain"
    bucket.blob("c").rewrite(blob)
    FileSystems.copy(["gs://b/c"], ["gs://b/d"])
    assert files.read_bytes("gs://b/d") == b"one"
    assert storage.Client().lookup_bucket("none") is None
    assert gcs.requests["upload gs://b/a/b.txt"] == 2
