"""One measured process of ours: URLs in, small JPEGs in a parquet file out. Run by `fetch`, with a JSON argument.

The work is what img2dataset does with the same URLs, through the public pieces of the library, with every limit on.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beam_recap.fetch import Fetcher, FetchResult, FetchSettings, addresses
from beam_recap.fetch.window import FetchWindow
from beam_recap.images import DecodedImage, DecodeSettings, decode_image, encode_image

_LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")
_ROWS_PER_GROUP = 100  # as img2dataset buffers them

# The columns that img2dataset writes.
_SCHEMA = pa.schema(
    [
        ("url", pa.string()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("exif", pa.string()),
        ("sha256", pa.string()),
        ("jpg", pa.binary()),
    ]
)


@dataclass(frozen=True)
class OurWork:
    """What a process does.

    Attributes:
      urls: file with one URL per line.
      output: parquet file to write; not written without `encode`.
      port: the server's, allowed besides the usual ones.
      encode: also encode JPEGs and write them; else stop at pixels.
      image_size: px of the longer side.
    """

    urls: str
    output: str
    port: int
    encode: bool = True
    image_size: int = 336


@contextlib.contextmanager
def loopback_is_public() -> Iterator[None]:
    """Lets loopback pass for the public internet, so that no check has to be switched off for a server there.

    Each address goes through the whole check first; all but loopback is judged as always.
    """
    judge = addresses._is_public_v4

    def judge_but_loopback(address: ipaddress.IPv4Address) -> bool:
        return judge(address) or address in _LOOPBACK

    addresses._is_public_v4 = judge_but_loopback
    try:
        yield
    finally:
        addresses._is_public_v4 = judge


def run_work(work: OurWork) -> Counter[str]:
    """Does it.

    Returns:
      How many rows ended how: "success", or the reason.
    """
    decode = DecodeSettings(image_size=work.image_size, resize_mode="keep_ratio_largest", read_exif=True)
    fetch = FetchSettings(ports=(*FetchSettings.ports, work.port))
    endings: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(loopback_is_public())
        rows = stack.enter_context(_RowWriter(Path(work.output))) if work.encode else None
        fetcher = Fetcher(fetch)
        stack.callback(fetcher.close)
        window: FetchWindow[str] = FetchWindow(fetcher)
        stack.callback(window.close)

        def take(arrived: Iterator[tuple[str, FetchResult]]) -> None:
            for url, result in arrived:
                row = _make_row(url, result, decode, work.encode)
                endings[row["status"]] += 1
                if rows is not None:
                    rows.add(row)

        for url in Path(work.urls).read_text().split():
            window.put(url, url)
            take(window.ready())
        take(window.drain())
    return endings


def _make_row(url: str, result: FetchResult, decode: DecodeSettings, encode: bool) -> dict[str, Any]:
    if result.body is None:
        return {"url": url, "status": str(result.reason), "error_message": result.detail}
    digest = hashlib.sha256(result.body).hexdigest()
    decoded = decode_image(result.body, decode)
    if not isinstance(decoded, DecodedImage):
        return {"url": url, "status": str(decoded.reason), "error_message": decoded.detail, "sha256": digest}
    height, width = decoded.image.shape[:2]
    return {
        "url": url,
        "status": "success",
        "width": width,
        "height": height,
        "original_width": decoded.width,
        "original_height": decoded.height,
        "exif": decoded.exif,
        "sha256": digest,
        "jpg": encode_image(decoded.image, format="jpg", quality=95) if encode else None,
    }


class _RowWriter:
    """Writes rows to a parquet file, some at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> _RowWriter:
        self._writer = pq.ParquetWriter(self._path, _SCHEMA)
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=_SCHEMA))
            self._rows = []


if __name__ == "__main__":
    print(json.dumps(run_work(OurWork(**json.loads(sys.argv[1])))))
