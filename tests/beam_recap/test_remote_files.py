from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from apache_beam.io.gcp.gcsfilesystem import GCSFileSystem
from support.gcs_server import GcsServer

from beam_recap import remote_files
from beam_recap.fingerprints import fingerprint
from beam_recap.remote_files import RemoteError, digest, exists, is_remote, list_files


@pytest.mark.parametrize(
    ("path", "remote"),
    [("gs://b/x", True), ("s3://b/x", True), ("/a/b", False), ("owner/model@0123", False), (Path("/a"), False)],
)
def test_a_remote_path_has_a_scheme(path: str | Path, remote: bool) -> None:
    assert is_remote(path) is remote


def test_a_folder_is_listed_by_its_metadata_alone(gcs: GcsServer) -> None:
    for name, data in (("m/b", b"abc"), ("m/a/c", b""), ("m/", b""), ("mm", b"other"), ("m/d/", b"")):
        gcs.put(f"gs://b/{name}", data)
    gcs.page = 1
    found = list_files("gs://b/m/")
    assert [(file.path, file.name, file.size) for file in found] == [
        ("gs://b/m/a/c", "a/c", 0),
        ("gs://b/m/b", "b", 3),
    ]
    assert found[1].crc32c == found[1].version == "Nks/tw=="  # of "abc": 0x364B3FB7 is CRC-32C's
    assert not gcs.sent


def test_a_file_is_listed_by_itself(gcs: GcsServer) -> None:
    gcs.put("gs://b/m/head.pth", b"abc")
    assert [file.name for file in list_files("gs://b/m/head.pth")] == ["head.pth"]
    assert [file.name for file in list_files("gs://b")] == ["m/head.pth"]
    assert list_files("gs://b/m/head") == ()
    assert exists("gs://b/m/head.pth") and not exists("gs://b/m")


def test_a_fingerprint_is_of_names_sizes_and_checksums(gcs: GcsServer) -> None:
    def put(*files: tuple[str, bytes]) -> str | None:
        gcs.objects.clear()
        for name, data in files:
            gcs.put(f"gs://b/m/{name}", data)
        return fingerprint("gs://b/m")

    gcs.buckets.add("b")
    assert put() is None
    first = put(("a", b"one"), ("b", b"two"))
    assert first == put(("b", b"two"), ("a", b"one")) == fingerprint("gs://b/m/")  # uploaded again: the same
    others = {put(("a", b"one")), put(("a", b"one"), ("c", b"two")), put(("a", b"one"), ("b", b"twO"))}
    assert len(others | {first}) == 4 and None not in others
    assert not gcs.sent


def test_without_a_checksum_the_time_of_change_counts(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: GCSFileSystem, path: str) -> str:
        raise NotImplementedError

    stored = gcs.put("gs://b/m/a", b"one")
    with_checksum = fingerprint("gs://b/m")
    for replacement in (none, lambda self, path: "3", lambda self, path: None):  # "3": some give the size
        monkeypatch.setattr(GCSFileSystem, "checksum", replacement)
        gcs.objects["gs://b/m/a"] = stored
        (file,) = list_files("gs://b/m")
        assert file.crc32c is None
        before = fingerprint("gs://b/m")
        gcs.objects["gs://b/m/a"] = dataclasses.replace(stored, updated=stored.updated + 1)
        assert len({with_checksum, before, fingerprint("gs://b/m")}) == 3


def test_a_bucket_is_no_model(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "MAX_FILES", 3)
    for number in range(4):
        gcs.put(f"gs://b/{number}", b"")
    with pytest.raises(RemoteError, match="holds more than 3 files; give the model's own folder"):
        list_files("gs://b")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gs://none/x", "^does not exist .*bucket"),
        ("gs://closed/x", "^this account has no permission to read it"),
        ("gs://unknown/x", "^this account has no permission to read it"),
        ("gs://broken/x", "^cannot be read .*400"),
        ("gopher://b/x", "^gopher:// is no file system that is installed here; give a local or a gs:// path"),
        ("gs://", "^is no path of a file or folder"),
        ("gs:///x", "^is no path of a file or folder"),
        ("gs://b/run[1]", "rename it"),
    ],
)
def test_what_cannot_be_listed(gcs: GcsServer, path: str, message: str) -> None:
    gcs.refuse = {"gs://closed": 403, "gs://unknown": 401, "gs://broken": 400}
    with pytest.raises(RemoteError, match=message) as caught:
        list_files(path)
    assert "\n" not in str(caught.value) and "http" not in str(caught.value)


def test_the_order_of_a_listing_does_not_matter_to_its_digest(gcs: GcsServer) -> None:
    gcs.put("gs://b/m/a", b"1")
    gcs.put("gs://b/m/b", b"2")
    first, second = list_files("gs://b/m")
    assert digest([first]) != digest([second]) and len(digest([first])) == 16
