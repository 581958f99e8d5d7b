"""What a camera wrote beside a picture (EXIF 2.32, a TIFF structure): which way is up, and the rest as JSON.

A reader of its own, because Pillow's copies as many bytes as a file claims, for every one of its tags: 800 kB can make
it take gigabytes. Here, nothing is copied that is not shown.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from PIL import ExifTags

MAX_JSON_BYTES = 64 * 1024
_MAX_TAGS = 500  # of one directory; cameras write about 60
_MAX_VALUES = 64  # of one tag that are shown
_MAX_TEXT = 2000  # bytes of one text that are shown
_MAX_HEX = 32  # bytes of one tag that is no text

_ORIENTATION = 0x0112
# What is never shown: a maker's private notes, and bytes that are pictures or editors' states.
_LEFT_OUT = frozenset({0x927C, 0x0201, 0x0202, 0x02BC, 0x8649, 0x83BB, 0x8773, 0xC4A5, 0xEA1C})
# Directories by the tag that points to them, named as ExifRead (which img2dataset uses) names them.
_POINTERS = {0x8769: "EXIF", 0x8825: "GPS", 0xA005: "Interoperability"}
_NAMES: dict[str, dict[int, str]] = {
    "Image": dict(ExifTags.TAGS),
    "EXIF": dict(ExifTags.TAGS),
    "GPS": dict(ExifTags.GPSTAGS),
    "Interoperability": {tag.value: tag.name for tag in ExifTags.Interop},
}
_BYTE, _TEXT, _UNDEFINED = 1, 2, 7
_RATIONAL, _SIGNED_RATIONAL = 5, 10
# Format of one value by TIFF's types: BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, ...
_FORMATS = {
    1: "B",
    2: "s",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    7: "s",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
}


def read_orientation(exif: bytes | None) -> int:
    """The orientation, 1 to 8; 1 (upright) if it is not said, or nonsense."""
    try:
        for tag, kind, count, content, order in _directory(*_opened(exif)):
            if tag == _ORIENTATION:
                if kind not in (_BYTE, 3, 4) or not count:
                    return 1
                (value,) = struct.unpack_from(order + _FORMATS[kind], content)
                return value if 1 <= value <= 8 else 1
    except (struct.error, ValueError):
        pass
    return 1


def exif_to_json(exif: bytes | None) -> str | None:
    """All tags as a JSON object of names ("EXIF FNumber") and texts ("28/10"), of at most 64 kB.

    Lists are written as ``[1, 2]``, enumerations as their numbers, bytes that are no text as some hexadecimal digits.
    Private notes of makers, thumbnails, and what does not fit are left out.

    Args:
      exif: a TIFF structure, with or without ``Exif\\0\\0`` before it.

    Returns:
      None if there is none, or if it is broken.
    """
    try:
        texts = dict(_bounded(_texts(exif)))
        return json.dumps(texts) if texts else None
    except (struct.error, ValueError, OverflowError):
        return None


def _bounded(texts: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    left = MAX_JSON_BYTES - 2
    for name, text in texts:
        left -= len(json.dumps(name)) + len(json.dumps(text)) + 4
        if left < 0:
            return
        yield name, text


def _opened(exif: bytes | None) -> tuple[bytes, str, int]:
    """The structure, its byte order and where its first directory is. Raises ValueError if it is no TIFF."""
    content = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        raise ValueError("no TIFF structure")
    return content, order, struct.unpack_from(order + "I", content, 4)[0]


def _directory(content: bytes, order: str, at: int) -> Iterator[tuple[int, int, int, bytes, str]]:
    """(tag, type, count, bytes that may be shown, byte order) of a directory's entries."""
    (entries,) = struct.unpack_from(order + "H", content, at)
    for number in range(min(entries, _MAX_TAGS)):
        entry = at + 2 + 12 * number
        tag, kind, count = struct.unpack_from(order + "HHI", content, entry)
        if kind not in _FORMATS:
            continue
        length = count * struct.calcsize("<" + _FORMATS[kind])
        start = entry + 8
        if length > 4:
            (start,) = struct.unpack_from(order + "I", content, start)
        if start + length <= len(content):  # else this tag is broken; others may not be
            yield tag, kind, count, content[start : start + min(length, _MAX_TEXT)], order


def _texts(exif: bytes | None) -> Iterator[tuple[str, str]]:
    content, order, at = _opened(exif)
    waiting, seen = [("Image", at)], set()
    while waiting:
        directory, at = waiting.pop(0)
        if at in seen:  # a circle
            continue
        seen.add(at)
        names = _NAMES[directory]
        try:
            for tag, kind, count, value, _ in _directory(content, order, at):
                if tag in _POINTERS and kind in (4, 13) and len(value) >= 4:
                    waiting.append((_POINTERS[tag], struct.unpack_from(order + "I", value)[0]))
                elif tag not in _LEFT_OUT:
                    yield f"{directory} {names.get(tag, f'Tag 0x{tag:04X}')}", _text_of(kind, count, value, order)
        except struct.error:  # a directory that sticks out; what was read of it stays
            if directory == "Image" and not waiting:
                raise


def _text_of(kind: int, count: int, value: bytes, order: str) -> str:
    if kind == _TEXT:
        return value.partition(b"\0")[0].decode("utf-8", "replace").strip()
    if kind == _UNDEFINED:
        return _text_of_bytes(value, count)
    form = _FORMATS[kind]
    shown = min(count, _MAX_VALUES, len(value) // struct.calcsize("<" + form))
    numbers = struct.unpack_from(f"{order}{form * shown}", value)
    if kind in (_RATIONAL, _SIGNED_RATIONAL):
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        texts = [str(above) if below == 1 else f"{above}/{below}" for above, below in pairs]
    else:
        texts = [f"{number:g}" if isinstance(number, float) else str(number) for number in numbers]
    if count == 1 and texts:
        return texts[0]
    return f"[{', '.join(texts)}{', ...' if count > shown else ''}]"


def _text_of_bytes(value: bytes, count: int) -> str:
    text = value.removeprefix(b"ASCII\0\0\0").strip(b"\0 ")
    if text.isascii() and text.decode("ascii").isprintable():
        return text.decode("ascii")
    return "0x" + value[:_MAX_HEX].hex() + ("..." if count > _MAX_HEX else "")
