"""Which column of a source means what: DataComp's, Recap-DataComp's, LAION's and img2dataset's names, or the user's."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_recap.inputs.units import Unit
from beam_recap.records import Sample


class ColumnError(ValueError):
    """A column that is missing. ``flag`` is the flag that would name it."""

    def __init__(self, flag: str, message: str):
        super().__init__(message)
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Columns:
    """The source's name for each of our fields; None where it has none."""

    url: str | None
    caption: str | None
    uid: str | None = None
    key: str | None = None
    source_id: str | None = None
    source_width: str | None = None
    source_height: str | None = None
    license: str | None = None
    nsfw: str | None = None
    cluster: str | None = None
    expected_digest: str | None = None  # only where the user names it

    @property
    def names(self) -> list[str]:
        """The columns to read, each once."""
        used = (getattr(self, field.name) for field in dataclasses.fields(self))
        return list(dict.fromkeys(name for name in used if name is not None))


_SHOWN_NAMES = 30
_SHOWN_CHARS = 60

# In order of preference. Sources: the column lists of DataComp-1B (uid, url, text, original_width ...),
# Recap-DataComp-1B (url, org_caption, key ...), LAION (SAMPLE_ID, URL, TEXT, HEIGHT ...) and img2dataset.
_KNOWN = {
    "url": ("url", "URL", "coco_url"),
    "caption": ("org_caption", "caption", "text", "TEXT"),
    "uid": ("uid",),
    "key": ("key",),
    "source_id": ("SAMPLE_ID", "sample_id", "image_id"),
    "source_width": ("original_width", "WIDTH", "width"),
    "source_height": ("original_height", "HEIGHT", "height"),
    "license": ("LICENSE", "license"),
    "nsfw": ("NSFW", "nsfw"),
    "cluster": ("kmeans",),
}


def recognise_columns(
    names: Sequence[str],
    *,
    url_column: str | None = None,
    caption_column: str | None = None,
    digest_column: str | None = None,
    needs_url: bool = True,
) -> Columns:
    """Finds our fields among a source's column names.

    Args:
      names: the source's columns.
      url_column: the user's choice, instead of the known names.
      caption_column: likewise.
      digest_column: the column of digests that the user named, if any.
      needs_url: a table must have URLs and what the user named; one JSON object need not.

    Raises:
      ColumnError: a column that the user named is not there, or there is no column of URLs.
    """
    found: dict[str, str | None] = {
        field: next((name for name in candidates if name in names), None) for field, candidates in _KNOWN.items()
    }
    for field, flag, chosen in (
        ("url", "url_column", url_column),
        ("caption", "caption_column", caption_column),
        ("expected_digest", "verify_hash", digest_column),
    ):
        if chosen is not None:
            if needs_url and chosen not in names:
                raise ColumnError(flag, f"there is no column {chosen}; give one of {listed(names)}")
            found[field] = chosen
    if needs_url and found["url"] is None:
        raise ColumnError("url_column", f"no column is named url or URL; name one of {listed(names)} with --url_column")
    return Columns(**found)


def listed(names: Sequence[str]) -> str:
    """Names in one printable line of bounded length: a file without a header shows its first row here."""
    shown = []
    for name in names[:_SHOWN_NAMES]:
        printable = "".join(character if character.isprintable() else " " for character in name[:_SHOWN_CHARS])
        shown.append(" ".join(printable.split()))
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def sample_from(
    row: Mapping[str, Any], columns: Columns, *, unit: str, index: int, source_row: int, key: str
) -> Sample:
    """The `Sample` of one source row.

    Args:
      row: the source's values by column name.
      columns: their meaning.
      unit: the row's unit.
      index: its index there.
      source_row: its position in its shard.
      key: used where the source has no key of its own.
    """

    def value(column: str | None, convert: Callable[[Any], Any]) -> Any:
        return None if column is None else convert(row.get(column))

    url, caption = value(columns.url, as_text), value(columns.caption, as_text)
    digest = value(columns.expected_digest, as_text)
    source_id = value(columns.source_id, as_integer)
    key = value(columns.key, as_text) or key
    uid = value(columns.uid, as_text) or (str(source_id) if source_id is not None else pair_digest(url or key, caption))
    return Sample(
        unit=unit,
        index=index,
        uid=uid,
        key=key,
        url=url,
        caption=caption,
        source_row=source_row,
        source_id=source_id,
        source_width=value(columns.source_width, as_integer),
        source_height=value(columns.source_height, as_integer),
        license=value(columns.license, as_text),
        nsfw=value(columns.nsfw, as_text),
        cluster=value(columns.cluster, as_integer),
        expected_digest=None if digest is None else digest.lower(),
    )


def unreadable_row(unit: Unit, index: int, source_row: int) -> Sample:
    """Stands for a row of which nothing but its place is known."""
    key = shard_key(unit.shard_number, source_row, unit.shard_rows)
    return Sample(unit=unit.name, index=index, uid=f"{unit.id}-{index}", key=key, source_row=source_row)


def pair_digest(url: str, caption: str | None) -> str:
    """32 hexadecimal digits of SHA-256 over (url, caption): an identity that does not depend on the sharding."""
    text = f"{url}\0{caption or ''}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def shard_key(shard_number: int, row: int, shard_rows: int | None) -> str:
    """img2dataset's key: shard number and row, in as many digits as the shard's rows need (nine up to 10,000 rows)."""
    digits = max(4, len(str(max(0, (shard_rows or 0) - 1))))
    return f"{shard_number:05d}{row:0{digits}d}"


def as_text(value: Any) -> str | None:
    """Text without the spaces around it; None where there is none (null, NaN, blank)."""
    text = as_written(value)
    return None if text is None else text.strip()


def as_written(value: Any) -> str | None:
    """Text with the spaces around it; None where there is none (null, NaN, blank)."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    # Lone surrogates (from JSON escapes) can be written to no file.
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return None if not text or text.isspace() else text


def as_integer(value: Any) -> int | None:
    """A 64-bit whole number; None where there is none. Texts may hold one as tables write it: ``640``, ``640.0``."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        try:
            number = int(value)
        except ValueError:
            if not isinstance(value, str | bytes):
                return None
            number = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -(2**63) <= number < 2**63 else None
