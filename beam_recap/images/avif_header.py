"""The header of an AVIF: its size, and what its AV1 streams will make a decoder allocate.

An AVIF says its size twice: in boxes, and in the AV1 stream of each item. The decoder allocates by the second and
scales to the first, so a file of 300 bytes can call itself 64 x 64 px and hold a stream of 16384 x 16384 px.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from beam_recap.images.av1_header import read_coded_pixels
from beam_recap.images.boxes import Box, BoxReader, BrokenBoxes

_BRANDS = frozenset({b"avif", b"avis"})
_MAX_BRANDS = 64


@dataclass(frozen=True, slots=True)
class AvifSize:
    """Size in pixels as stored, the largest of all that the boxes say; and the sum over all AV1 streams."""

    width: int
    height: int
    coded_pixels: int


def is_avif(data: bytes) -> bool:
    """Whether this is an AVIF by its brands, the first of which may be a more general one."""
    if data[4:8] != b"ftyp":
        return False
    end = min(len(data), int.from_bytes(data[:4], "big"), 16 + 4 * _MAX_BRANDS)
    return bool(_BRANDS & {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))})


def read_avif(data: bytes) -> AvifSize | None:
    """Reads the boxes of an AVIF; None if they are broken."""
    reader = BoxReader(data)
    sizes: list[tuple[int, int]] = []
    streams: list[bytes] = []
    try:
        for box in reader.boxes(0, len(data)):
            if box.kind == b"meta":
                sizes += _item_sizes(reader, box)
                streams += _item_streams(reader, box)
            elif box.kind == b"moov":
                for track in _find(reader, box, b"trak"):
                    _read_track(reader, track, sizes, streams)
        coded = read_coded_pixels(streams)
    except (BrokenBoxes, ValueError):
        return None
    if not sizes:
        return None
    return AvifSize(max(width for width, _ in sizes), max(height for _, height in sizes), coded)


def _find(reader: BoxReader, box: Box, *path: bytes) -> Iterator[Box]:
    for child in reader.children(box):
        if child.kind == path[0]:
            if len(path) == 1:
                yield child
            else:
                yield from _find(reader, child, *path[1:])


def _item_sizes(reader: BoxReader, meta: Box) -> list[tuple[int, int]]:
    """Sizes of the items: their image spatial extents properties."""
    sizes = []
    for properties in reader.children(meta, 4):
        if properties.kind == b"iprp":
            for box in _find(reader, properties, b"ipco", b"ispe"):
                sizes.append((reader.number(box.start + 4, 4), reader.number(box.start + 8, 4)))
    return sizes


def _item_streams(reader: BoxReader, meta: Box) -> list[bytes]:
    """The bytes of the items that are AV1 streams."""
    boxes = {box.kind: box for box in reader.children(meta, 4)}
    if b"iloc" not in boxes or b"iinf" not in boxes:
        return []
    streams = _av1_items(reader, boxes[b"iinf"])
    found = []
    for item, in_meta, extents in _item_locations(reader, boxes[b"iloc"]):
        if item in streams:
            base, end = (boxes[b"idat"].start, boxes[b"idat"].end) if in_meta and b"idat" in boxes else (0, None)
            parts = []
            for offset, length in extents:
                limit = length or (1 << 62)  # 0: up to the end
                if end is not None:
                    limit = max(0, min(limit, end - base - offset))
                parts.append(reader.bytes_at(base + offset, limit))
            found.append(b"".join(parts))
    return found


def _av1_items(reader: BoxReader, infos: Box) -> set[int]:
    """Ids of the items of type av01 (item info box, 14496-12, 8.11.6)."""
    items = set()
    for info in reader.children(infos, 6 if reader.number(infos.start, 1) == 0 else 8):
        if info.kind != b"infe":
            continue
        version = reader.number(info.start, 1)
        id_length = 4 if version >= 3 else 2
        kind = info.start + 4 + id_length + 2
        if version >= 2 and reader.bytes_at(kind, 4) == b"av01":
            items.add(reader.number(info.start + 4, id_length))
    return items


def _item_locations(reader: BoxReader, box: Box) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """(item, whether offsets count from the idat box, [(offset, length)]) (item location box, 14496-12, 8.11.3)."""
    version = reader.number(box.start, 1)
    sizes = reader.number(box.start + 4, 2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    at = box.start + 6
    id_size = 4 if version == 2 else 2
    count, at = reader.number(at, id_size), at + id_size
    for _ in range(count):
        reader.count_part()
        item, at = reader.number(at, id_size), at + id_size
        in_meta = False
        if version in (1, 2):
            in_meta, at = reader.number(at, 2) & 15 == 1, at + 2
        base, at = reader.number(at + 2, base_size), at + 2 + base_size
        extents_in_item, at = reader.number(at, 2), at + 2
        extents = []
        for _ in range(extents_in_item):
            reader.count_part()
            at += index_size
            offset = base + reader.number(at, offset_size)
            extents.append((offset, reader.number(at + offset_size, length_size)))
            at += offset_size + length_size
        yield item, in_meta, extents


def _read_track(reader: BoxReader, track: Box, sizes: list[tuple[int, int]], streams: list[bytes]) -> None:
    """Size and first sample of an animation's track: only the first frame is decoded."""
    for table in _find(reader, track, b"mdia", b"minf", b"stbl"):
        for box in reader.children(table):
            if box.kind == b"stsd":
                for entry in reader.children(box, 8):
                    if entry.kind == b"av01":  # a visual sample entry: size after 24 bytes
                        sizes.append((reader.number(entry.start + 24, 2), reader.number(entry.start + 26, 2)))
            elif box.kind in (b"stco", b"co64") and reader.number(box.start + 4, 4):
                first = reader.number(box.start + 8, 4 if box.kind == b"stco" else 8)
                streams.append(reader.bytes_at(first, _first_sample_size(reader, table)))


def _first_sample_size(reader: BoxReader, table: Box) -> int:
    for box in reader.children(table):
        if box.kind == b"stsz" and reader.number(box.start + 8, 4):
            return reader.number(box.start + 4, 4) or reader.number(box.start + 12, 4)
    return 0
