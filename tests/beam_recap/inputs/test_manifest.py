from __future__ import annotations

from pathlib import Path

import pytest
from support.gcs_server import GcsServer

from beam_recap.inputs import manifest
from beam_recap.inputs.units import Shard


def test_local_files(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(bytes(100_000))
    shards = [Shard(str(path), number) for number, path in enumerate(paths)]
    first = manifest.describe(shards)
    assert list(first) == [str(path) for path in paths]
    paths[0].touch()
    assert manifest.describe(shards) == first
    for change in (bytes(99_999) + b"1", b"1" + bytes(99_999), bytes(99_999)):
        paths[0].write_bytes(change)
        now = manifest.describe(shards)
        assert [path for path in first if first[path] != now[path]] == [str(paths[0])]


def test_remote_files(gcs: GcsServer) -> None:
    for name in ("d/a", "d/b", "d/e/c", "other"):
        gcs.put(f"gs://bucket/{name}", b"12345")
    shards = [Shard(f"gs://bucket/{name}", number) for number, name in enumerate(("d/a", "d/b", "d/e/c"))]
    gcs.requests.clear()
    first = manifest.describe(shards)
    assert list(first) == [shard.path for shard in shards]
    assert all(version.startswith("5 bytes, changed 1") for version in first.values())
    assert gcs.requests.total() <= 4  # no request for each file
    assert manifest.describe(shards) == first
    gcs.put("gs://bucket/d/b", b"123456")
    assert manifest.describe(shards)["gs://bucket/d/b"].startswith("6 bytes")


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        ({"a": "1", "b": "2"}, None),
        ({"b": "2", "a": "1"}, None),
        ({"b": "2"}, "a is no longer there since the output directory's first run"),
        ({"a": "1", "b": "2", "c": "3", "d": "4"}, "c and 1 more are new since the output directory's first run"),
        ({"a": "1", "b": "3"}, "b is changed since the output directory's first run"),
    ],
)
def test_difference(now: dict[str, str], problem: str | None) -> None:
    assert manifest.difference({"a": "1", "b": "2"}, now) == problem
