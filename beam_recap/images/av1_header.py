"""Sequence headers of AV1 streams: how large the frames are that a decoder will allocate.

AV1 Bitstream & Decoding Process Specification (2019-01-08, errata 1), sections 5.3.2 and 5.5.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_SEQUENCE_HEADER = 1
_HEADER_BYTES = 512  # a sequence header has about 10, at most 300
_MAX_UNITS = 20_000  # of all streams of a file; a stream of one frame has about 3


def read_coded_pixels(streams: Sequence[bytes]) -> int:
    """Pixels of one frame of each stream, summed: at worst, of all a decoder may hold at once.

    Raises:
      ValueError: a sequence header is cut, or the streams have too many units to be pictures'.
    """
    total, units_left = 0, _MAX_UNITS
    for stream in streams:
        largest = 0
        for kind, start, end in _units(stream):
            units_left -= 1
            if units_left < 0:
                raise ValueError(f"more than {_MAX_UNITS} units")
            if kind == _SEQUENCE_HEADER:
                largest = max(largest, _frame_pixels(stream[start : min(end, start + _HEADER_BYTES)]))
        total += largest
    return total


def _units(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each unit's content (open bitstream unit, 5.3.2)."""
    at, size = 0, len(stream)
    while at < size:
        first = stream[at]
        kind, has_extension, has_size = first >> 3 & 15, first & 4, first & 2
        at += 2 if has_extension else 1
        length = size - at
        if has_size:
            length = shift = 0
            for _ in range(8):  # leb128
                if at >= size:
                    return
                byte = stream[at]
                at += 1
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
        yield kind, at, min(at + length, size)
        at += max(0, length)


class _Bits:
    """Reads numbers of some bits, most significant bit first."""

    def __init__(self, content: bytes):
        self._value = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("a sequence header is cut")
        return self._value >> self._left & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while not self.read(1):
            zeros += 1
        self.read(min(zeros, 32))


def _frame_pixels(content: bytes) -> int:
    """Pixels of the largest frame that a stream with this sequence header can have."""
    bits = _Bits(content)
    bits.read(4)  # seq_profile, still_picture
    is_reduced = bits.read(1)
    if is_reduced:
        bits.read(5)  # seq_level_idx
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    if is_reduced:
        return width * height
    # A frame may override the size with any number of so many bits; decoders do not compare it to the maximum.
    return 1 << (width_bits + height_bits)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    has_model = False
    if bits.read(1):  # timing_info_present_flag
        bits.read(64)
        if bits.read(1):  # equal_picture_interval
            bits.skip_uvlc()
        has_model = bool(bits.read(1))
        if has_model:
            delay_bits = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # operating_point_idc
        if bits.read(5) > 7:  # seq_level_idx
            bits.read(1)  # seq_tier
        if has_model and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)
