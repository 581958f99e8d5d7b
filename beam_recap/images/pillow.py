"""The way of everything that is no usual JPEG: Pillow's decoders, called directly.

Directly, because `Image.open` tries decoders that nobody asked for, and warns, or raises, by a limit of its own that is
a global of the process. The first frame is taken of an animation.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from beam_recap.images.exif import read_orientation
from beam_recap.images.geometry import plan_reduction
from beam_recap.images.jpeg_header import JpegFacts, without_metadata
from beam_recap.images.pixel_modes import to_plain_mode

_DECODERS = {
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}
_AVIF_THREADS = 1  # a worker has a process or thread per core; Pillow would take them all for every picture


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A picture as it is stored: not yet turned upright."""

    image: Image.Image  # mode "L" or "RGB"
    orientation: int  # by EXIF's numbers, 1 to 8
    exif: bytes | None


class OpenedJpeg:
    """A JPEG whose header was read; what only Pillow takes on: CMYK, and what libjpeg warns of."""

    def __init__(self, data: bytes, facts: JpegFacts):
        # Without metadata, of which Pillow parses more than is needed here, and not all of it with care.
        self._image = JpegImagePlugin.JpegImageFile(io.BytesIO(without_metadata(data, facts)))
        self.size = self._image.size

    def load(self, size: tuple[int, int]) -> tuple[Image.Image, tuple[float, float] | None]:
        """Decodes, at a fraction of its size if that is enough for `size`; and the part that is the picture."""
        reduction = plan_reduction(self.size, size)
        extent = None
        if reduction > 1:
            reduced = self._image.size[0] // reduction, self._image.size[1] // reduction
            drafted = self._image.draft(None, reduced)
            extent = drafted[1][2:] if drafted else None
        self._image.load()
        return to_plain_mode(self._image), extent


class OpenedPicture:
    """A PNG, WebP or GIF whose header was read."""

    def __init__(self, data: bytes, image_format: str):
        self._image = _DECODERS[image_format](io.BytesIO(data))
        self.size = self._image.size

    def load(self) -> LoadedImage:
        """Decodes the first frame."""
        self._image.load()
        # Only now: a PNG may have it after its pixels.
        exif = self._image.info.get("exif")
        exif = exif if isinstance(exif, bytes) else None
        return LoadedImage(to_plain_mode(self._image), read_orientation(exif), exif)


class OpenedAvif:
    """An AVIF whose boxes were read.

    Which way is up is said by its boxes (irot, imir); EXIF's orientation is not asked, as MIAF (ISO/IEC 23000-22) has
    it. Pillow's own class is not used: it refuses pictures for any fault in their EXIF. (libavif itself does so only
    where that is no TIFF structure at all.)

    Raises:
      ImportError: this Pillow was built without AVIF.
    """

    def __init__(self, data: bytes):
        from PIL import _avif

        self._decoder = _avif.AvifDecoder(data, "auto", _AVIF_THREADS)
        self.size, _, self._mode, _, self._exif, self._orientation, _ = self._decoder.get_info()

    def load(self) -> LoadedImage:
        """Decodes the first frame."""
        pixels = self._decoder.get_frame(0)[0]
        image = Image.frombytes(self._mode, self.size, pixels)
        del pixels, self._decoder
        return LoadedImage(to_plain_mode(image), self._orientation, self._exif)
