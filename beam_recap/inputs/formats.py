"""What a shard is: told by its content where that can be told, and by its name for the kinds of text."""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import zlib

from beam_recap import files

PARQUET = "parquet"
TAR = "tar"
TXT = "txt"
CSV = "csv"
TSV = "tsv"
JSON = "json"
JSON_LINES = "jsonl"
GZIP = ".gz"  # ends the format of a compressed text, as in "csv.gz"

_KINDS = {".txt": TXT, ".csv": CSV, ".tsv": TSV, ".json": JSON, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES}
_SHARD_NAME = re.compile(r".*\.(parquet|tar|(txt|csv|tsv|json|jsonl|ndjson)(\.gz)?)", re.IGNORECASE | re.DOTALL)
# img2dataset writes counts of each shard beside it; they hold no rows.
_SIDECAR_NAME = re.compile(r".*_stats\.json", re.IGNORECASE | re.DOTALL)
_PICTURE_NAME = re.compile(r".*\.(jpe?g|png|webp|gif|avif)", re.IGNORECASE | re.DOTALL)
READABLE = "Parquet files, webdataset tars, or .txt, .csv, .tsv, .json, .jsonl or .ndjson files, which may end in .gz"
_GIVE = f"give {READABLE}"

_HEAD_BYTES = 4096
# How files that are often mistaken for shards begin. Sources: their specifications.
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"ARROW1", "an Arrow file"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"\x89PNG", "a PNG"),
    (b"%PDF", "a PDF"),
)
_UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # byte order marks
# Of a text in UTF-8 at most a few characters are damaged; of anything else, most.
_MAX_STRANGE_SHARE = 0.1
_STRANGE = re.compile("[\ufffd\x00-\x08\x0e-\x1f\x7f]")


class ShardError(ValueError):
    """A shard that cannot be read as what it should be. The message says which and why, ``remedy`` what to give."""

    def __init__(self, message: str, remedy: str = _GIVE):
        super().__init__(message)
        self.remedy = remedy


def text_kind(path: str) -> str | None:
    """``TXT``, ``CSV``, ``TSV``, ``JSON`` or ``JSON_LINES`` by the name's ending, with or without ``.gz``."""
    name = path.rsplit("/", 1)[-1].lower().removesuffix(GZIP)
    return next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), None)


def is_shard_name(path: str) -> bool:
    """Whether a file found in a folder is read: a known ending, no part of the path hidden, no sidecar."""
    parts = path.split("/")
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and bool(_SHARD_NAME.fullmatch(parts[-1])) and not _SIDECAR_NAME.fullmatch(parts[-1])


def is_picture_name(path: str) -> bool:
    """Whether a file is called like a picture."""
    return bool(_PICTURE_NAME.fullmatch(path))


def list_of_pictures(folder: str) -> str:
    """What to give in place of pictures themselves: a list of their paths.

    Args:
      folder: where they are.
    """
    if "://" in folder:
        command = f"gcloud storage ls {shlex.quote(folder.rstrip('/') + '/**')}"
    else:
        command = f"find {shlex.quote(os.path.abspath(folder))} -type f"
    return (
        f"pictures are read from a list of their paths: write one with {command} > pictures.txt, and give "
        "--input=pictures.txt --allow_local_files=true"
    )


def detect_format(path: str) -> str:
    """``PARQUET`` or ``TAR`` by content, else a kind of text by name, with ``.gz`` if its content is compressed.

    Raises:
      ShardError: the file is none of them, or not what its name says, or cannot be read.
    """
    head, is_compressed = _head(path)
    shard = PARQUET if head[:4] == b"PAR1" else TAR if _is_tar(head) else None
    if shard is not None and is_compressed:
        raise ShardError(f"{path} is a compressed {shard} file", "decompress it with gunzip")
    if shard is not None:
        return shard
    if not head:
        raise ShardError(f"{path} is empty")
    remedy = list_of_pictures(os.path.dirname(path)) if is_picture_name(path) else _GIVE
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise ShardError(f"{path} is {name}", remedy)
    kind = text_kind(path)
    if kind is None:
        problem = f"{path} is neither a Parquet file nor a tar, and its name has no ending of a known text"
        raise ShardError(problem, remedy)
    if head.startswith(_UTF_16_OR_32):
        raise ShardError(f"{path} is text in UTF-16 or UTF-32", "save it as UTF-8")
    text = head.decode("utf-8", "replace")
    if len(_STRANGE.findall(text)) > _MAX_STRANGE_SHARE * len(text):
        raise ShardError(f"{path} is no text in UTF-8", "save it as UTF-8 if it is text")
    if kind in (JSON, JSON_LINES):
        _check_json(path, kind, text.removeprefix("\ufeff").lstrip())
    return kind + GZIP if is_compressed else kind


def _head(path: str) -> tuple[bytes, bool]:
    """The first bytes, decompressed, and whether they had to be."""
    try:
        with files.open_read(path) as file:
            head = file.read(_HEAD_BYTES)
    except Exception as error:  # no such file, no permission, no network
        raise ShardError(f"{path} cannot be read ({error})", "give files that are there") from error
    if not head.startswith(b"\x1f\x8b"):
        return head, False
    try:
        # read1 gives what comes before the cut, or before a damage.
        return gzip.GzipFile(fileobj=io.BytesIO(head)).read1(_HEAD_BYTES), True
    except (OSError, EOFError, zlib.error) as error:
        raise ShardError(f"{path} is a damaged gzip file ({error})") from error


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or (len(head) >= 512 and not any(head[:512]))


def _check_json(path: str, kind: str, text: str) -> None:
    is_array = text.startswith("[")
    if kind == JSON and text and not is_array and not text.startswith("{"):
        raise ShardError(f"{path} holds neither an array of JSON objects nor an object of columns")
    if kind == JSON_LINES and is_array and text[1:].lstrip().startswith("{"):
        raise ShardError(f"{path} holds one JSON array, not one object per line", "rename it to .json")
