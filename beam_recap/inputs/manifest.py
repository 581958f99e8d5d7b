"""The input's files as a run found them, so that a later attempt can tell whether they are still the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from beam_recap import files
from beam_recap.fingerprints import fingerprint
from beam_recap.inputs.units import Shard

_EDGE_BYTES = 1 << 14  # a Parquet file ends with the places and the extremes of its columns
_THREADS = 16


def describe(shards: Iterable[Shard]) -> dict[str, str]:
    """What tells each file from another of its name: local ones by size and outer bytes, remote ones by the listing.

    Raises:
      OSError: a file cannot be read.
    """
    paths = [shard.path for shard in shards]
    listed: dict[str, str] = {}
    for directory in sorted({path.rsplit("/", 1)[0] for path in paths if "://" in path}):
        listed.update(files.versions_in(directory))
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(paths, pool.map(lambda path: listed.get(path) or _version(path), paths), strict=True))


def _version(path: str) -> str:
    if "://" in path:
        return "not listed"
    return f"{os.path.getsize(path)} bytes, {fingerprint(path, edge_bytes=_EDGE_BYTES)}"


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """What has become of the input's files, as a sentence without its end; None if nothing has."""
    for what, paths in (
        ("no longer there", before.keys() - now.keys()),
        ("new", now.keys() - before.keys()),
        ("changed", {path for path in before.keys() & now.keys() if before[path] != now[path]}),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            return f"{min(paths)}{more} {'are' if more else 'is'} {what} since the output directory's first run"
    return None
