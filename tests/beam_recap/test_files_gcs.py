"""`files` at ``gs://`` paths, through Beam's own file system and Google's own client."""

from __future__ import annotations

import pytest
from apache_beam.io.filesystems import FileSystems
from google.cloud import storage
from google.cloud.exceptions import PreconditionFailed
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
