"""Files that end too early are refused, wherever they end, by both ways of decoding."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.pictures import decoded, draw_photo, encode, reason_of

from beam_recap.images import DecodedImage, DecodeSettings, decode_image
from beam_recap.records import Reason

KINDS = {
    "jpeg": ("JPEG", {"quality": 85}),
    "progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 80}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "avif": ("AVIF", {}),
}


def _file(kind: str, size: tuple[int, int] = (400, 300)) -> bytes:
    image_format, options = KINDS[kind]
    return encode(draw_photo(*size), image_format, **options)


@pytest.mark.parametrize("image_size", [1536, 336, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_at_every_twentieth(kind: str, image_size: int) -> None:
    data = _file(kind)
    for part in range(1, 20):
        assert reason_of(data[: max(32, len(data) * part // 20)], image_size=image_size) == Reason.CORRUPT, part


@pytest.mark.parametrize("kind", KINDS)
def test_cut_within_the_header(kind: str) -> None:
    data = _file(kind)
    for length in range(4, 33):
        assert not isinstance(decode_image(data[:length]), DecodedImage), length


@pytest.mark.parametrize("image_size", [1536, 100])
def test_only_what_follows_the_pixels_may_be_missing(image_size: int) -> None:
    """The last bytes of a PNG are an empty chunk, those of a GIF a semicolon."""
    for kind, tail in (("png", 12), ("gif", 1)):
        data = _file(kind)
        whole = decoded(data, image_size=image_size).image
        assert np.array_equal(decoded(data[:-tail], image_size=image_size).image, whole)


@pytest.mark.parametrize("kind", ["jpeg", "progressive"])
def test_the_last_bytes_of_a_jpeg(kind: str) -> None:
    """Whatever length is left: it is refused, or every pixel was there. Both ways of decoding agree."""
    data = _file(kind)
    whole = decoded(data).image
    for missing in range(1, 40):
        cut = data[:-missing]
        result = decode_image(cut)
        try:
            with Image.open(io.BytesIO(cut)) as image:
                image.load()
            is_whole = True
        except OSError:
            is_whole = False
        assert isinstance(result, DecodedImage) == is_whole, missing
        if isinstance(result, DecodedImage):
            assert np.array_equal(result.image, whole)
        elif missing > 8:
            assert result.reason == Reason.CORRUPT


def test_what_follows_the_end_does_not_matter() -> None:
    for kind in KINDS:
        data = _file(kind)
        expected = decoded(data).image
        assert np.array_equal(decoded(data + b"<!-- appended by a server -->" * 9).image, expected)


def test_a_file_of_the_next_picture_is_refused_too() -> None:
    """A JPEG that was cut, with another one behind it: the second must not fill the first."""
    data = _file("jpeg")
    result = decode_image(data[: len(data) // 2] + _file("jpeg", (200, 100)), DecodeSettings(image_size=100))
    if isinstance(result, DecodedImage):
        assert (result.width, result.height) == (400, 300)
