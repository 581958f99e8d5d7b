"""Boxes of the ISO base media file format (ISO/IEC 14496-12), in bounded numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Boxes, and entries of their tables. A picture has about 30; one of a grid of 200 tiles (48 megapixels in tiles of
# 512 px) about 1000.
MAX_PARTS = 10_000
# Streams that are equal may lie in one place, so all together may be longer than the file; but they are small ones.
_SHARED_BYTES = 1 << 20


class BrokenBoxes(ValueError):
    """No box structure, or one too large to be a picture's."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its four-letter kind and where its content lies."""

    kind: bytes
    start: int
    end: int


class BoxReader:
    """Reads boxes, numbers and streams of one file: never outside of it, and only so much in all."""

    def __init__(self, data: bytes):
        self._data = data
        self._parts_left = MAX_PARTS
        self._bytes_left = len(data) + _SHARED_BYTES

    def count_part(self) -> None:
        """To be called for every entry of a table. Raises BrokenBoxes if the file has more than `MAX_PARTS`."""
        self._parts_left -= 1
        if self._parts_left < 0:
            raise BrokenBoxes(f"more than {MAX_PARTS} parts")

    def boxes(self, start: int, end: int) -> Iterator[Box]:
        """The boxes between two offsets, in order. Stops at one that sticks out.

        Raises:
          BrokenBoxes: the file has more parts than `MAX_PARTS`.
        """
        end = min(end, len(self._data))
        while start + 8 <= end:
            self.count_part()
            length, kind, content = self.number(start, 4), self._data[start + 4 : start + 8], start + 8
            if length == 1:
                length, content = self.number(start + 8, 8), start + 16
            elif length == 0:  # up to the end
                length = end - start
            if length < content - start or start + length > end:
                if kind != b"mdat":  # of a file that was cut; what describes it is whole
                    return
                length = end - start
            yield Box(kind, content, start + length)
            start += length

    def children(self, box: Box, skip: int = 0) -> Iterator[Box]:
        """The boxes in a box, after `skip` bytes of its own."""
        return self.boxes(box.start + skip, box.end)

    def number(self, at: int, length: int) -> int:
        """A big-endian number. Raises BrokenBoxes if the file ends before it."""
        if at < 0 or at + length > len(self._data):
            raise BrokenBoxes("it ends too early")
        return int.from_bytes(self._data[at : at + length], "big")

    def bytes_at(self, start: int, length: int) -> bytes:
        """As many of these bytes as the file has. Raises BrokenBoxes if all that is asked for are too many."""
        found = memoryview(self._data)[start : start + length]
        self._bytes_left -= len(found)
        if self._bytes_left < 0:
            raise BrokenBoxes("streams that lie in one place")
        return bytes(found)
