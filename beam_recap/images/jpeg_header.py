"""The header of a JPEG (ITU-T T.81, annex B): one walk over its segments, up to the pixel data."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0-SOF15, without DHT, JPG and DAC
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN = 0xDA
_END = 0xD9
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST and SOI have no length field
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE

# A marker: 0xFF bytes, then a code. 0x00 is a stuffed 0xFF of the pixel data, 0xD0-0xD7 are restarts inside it.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")


@dataclass(frozen=True, slots=True)
class JpegFacts:
    """What decides about a JPEG: size in pixels as stored, its kind, and where things are."""

    width: int
    height: int
    components: int
    bits: int  # per sample
    scans: int  # passes over the pixels; counted only where there can be several, and only roughly within the limit
    exif: bytes | None  # content of the EXIF segment: a TIFF structure
    segments: tuple[tuple[int, int], ...]  # (start, end) of what a decoder needs, in order
    pixels_at: int  # where the first scan's segment starts


def read_jpeg(data: bytes, max_scans: int) -> JpegFacts | None:
    """Walks the segments as libjpeg does: what is between two of them is skipped.

    Size is the largest of all frame headers, so that it does not matter which one a decoder believes.

    Args:
      data: what begins with a JPEG's magic number.
      max_scans: scans are counted exactly only where there may be more.

    Returns:
      None if the header ends before a frame and a scan were found.
    """
    width = height = components = bits = frame = 0
    exif = None
    segments = []
    at, size = 2, len(data)
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            return None
        while at + 1 < size and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        if at + 4 > size:
            return None
        code = data[at + 1]
        if code == 0 or code in _BARE:
            at += 2
            continue
        if code == _END:
            return None
        end = at + 2 + max(2, (data[at + 2] << 8) | data[at + 3])
        if code == _SCAN:
            break
        if end > size:
            return None
        if code in _FRAMES:
            if end < at + 10:
                return None
            frame, bits, components = code, data[at + 4], data[at + 9]
            height, width = (
                max(height, (data[at + 5] << 8) | data[at + 6]),
                max(width, (data[at + 7] << 8) | data[at + 8]),
            )
        if code == _APP1 and exif is None and data[at + 4 : at + 10] == b"Exif\0\0":
            exif = data[at + 10 : end]
        # JFIF's and Adobe's say how colours are stored. The rest is metadata, which no decoder needs to see.
        if not (_APP0 < code <= _APP15 or code == _COMMENT) or code == _APP14:
            segments.append((at, end))
        at = end
    if not frame or at + 5 > size:
        return None
    scans = 1
    if frame in _PROGRESSIVE or data[at + 4] < components:
        scans = _count_scans(data, at, max_scans)
    return JpegFacts(width, height, components, bits, scans, exif, tuple(segments), at)


def without_metadata(data: bytes, facts: JpegFacts) -> bytes:
    """The same picture with only the segments that decide its pixels: nothing else of it is parsed again."""
    return b"".join([data[:2], *(data[start:end] for start, end in facts.segments), data[facts.pixels_at :]])


def _count_scans(data: bytes, at: int, max_scans: int) -> int:
    """Scans from `at` on. Bytes that only look like a scan, in metadata between scans, count if there are few."""
    count = sum(_count_pairs(data, at + shift) for shift in (0, 1))
    if count <= max_scans:
        return max(1, count)
    scans = 0
    while (found := _MARKER.search(data, at)) is not None:
        code = found.group(1)[0]
        at = found.end()
        if code == _END:
            break
        if code in _BARE:
            continue
        scans += code == _SCAN
        if scans > max_scans:
            break
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return scans


def _count_pairs(data: bytes, at: int) -> int:
    """How often 0xFF 0xDA follow each other at `at`, `at` + 2 ... : eight times quicker than `bytes.count`."""
    pairs = np.frombuffer(data, ">u2", (len(data) - at) // 2, at)
    return int(np.count_nonzero(pairs == 0xFFDA))
