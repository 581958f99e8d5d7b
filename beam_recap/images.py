"""From a stranger's bytes to upright RGB pixels of a useful size, or to the reason why not."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from beam_recap.image_headers import ImageHeader, read_header
from beam_recap.isolation import describe_error
from beam_recap.names import IMAGE_FORMATS
from beam_recap.records import Reason

# Progressive pictures have about 10. A picture of 210 scans and 64 megapixels costs 9 seconds and 400 kB.
MAX_JPEG_SCANS = 64

# JPEGs can be decoded at 1/2, 1/4 or 1/8 of their size for less; with twice the final size left, the bicubic filter
# still gives what it gives from the full size (PSNR above 50 dB on photographs).
_DRAFT_MARGIN = 2

_THUMBNAIL_QUALITY = 80

# The only decoders a stranger's bytes may reach, chosen by magic number. They are called directly because
# `Image.open` warns, or raises, by a limit of its own that is a global of the process.
_DECODERS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))


@dataclass(frozen=True)
class DecodeSettings:
    """What is accepted as a picture, and how large it comes out.

    Attributes:
      max_pixels: width times height of the largest picture that is decoded.
      min_image_size: the shorter side must have at least so many pixels.
      max_aspect_ratio: longer side divided by shorter side, at most; None for no limit.
      image_size: the decoded picture is shrunk until its longer side has at most so many pixels. It is never enlarged.

    Raises:
      ValueError: a value is out of its range; the message names the field.
    """

    image_size: int = 1536
    resize_mode: str = "keep_ratio_largest"
    resize_only_if_bigger: bool = True
    formats: tuple[str, ...] = IMAGE_FORMATS
    max_pixels: int = 50_000_000
    min_image_size: int = 32
    max_image_area: float | None = None
    max_aspect_ratio: float | None = None
    read_exif: bool = False

    def __post_init__(self) -> None:
        for name in ("max_pixels", "min_image_size", "image_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        ratio = self.max_aspect_ratio
        if ratio is not None and not (math.isfinite(ratio) and ratio >= 1):
            raise ValueError(f"max_aspect_ratio must be a number of at least 1, or None, not {ratio!r}")


@dataclass(frozen=True)
class DecodedImage:
    """A picture, upright, without transparency."""

    image: np.ndarray  # RGB, uint8 [H, W, 3], C-contiguous, writable
    width: int  # px, upright, as it came: before shrinking
    height: int  # px
    format: str  # "JPEG", "PNG", "WEBP", "GIF"


@dataclass(frozen=True)
class DecodeFailure:
    """Why bytes are no usable picture."""

    reason: Reason
    detail: str


def decode_image(data: bytes, settings: DecodeSettings | None = None) -> DecodedImage | DecodeFailure:
    """Decodes a JPEG, PNG, WebP or GIF.

    Size and number of scans are read from the header and checked before a decoder sees the bytes. The EXIF
    orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits, and of an animation the
    first frame is taken. Shrinking is bicubic with anti-aliasing, as in CLIP's and LLaVA's own preprocessing.

    Args:
      data: the encoded picture; may be anything.
      settings: the limits.

    Returns:
      The pixels, or why there are none: NOT_AN_IMAGE, CORRUPT (truncated, too), TOO_MANY_PIXELS (also for a
      JPEG that goes over its pixels more than 64 times), TOO_SMALL, TOO_ELONGATED, OUT_OF_MEMORY.
    """
    settings = settings or DecodeSettings()
    header = read_header(data)
    if header is None:
        return DecodeFailure(Reason.NOT_AN_IMAGE, f"no JPEG, PNG, WebP or GIF: starts with {bytes(data[:16])!r}")
    failure = _refuse(header, settings)
    if failure is not None:
        return failure
    try:
        image = _DECODERS[header.format](io.BytesIO(data))
        # The decoder must not see another size than we did, say in a second header.
        failure = _refuse(ImageHeader(header.format, *image.size), settings)
        return failure or _decode(image, header.format, settings)
    except MemoryError as error:
        return DecodeFailure(Reason.OUT_OF_MEMORY, describe_error(error))
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, TypeError, struct.error ...
        return DecodeFailure(Reason.CORRUPT, describe_error(error))


def encode_thumbnail(image: np.ndarray, side: int = 128) -> bytes:
    """Encodes a small JPEG (quality 80) of a picture.

    Args:
      image: RGB, uint8 `[H, W, 3]`.
      side: the longer side is shrunk to so many pixels, if it has more.
    """
    thumbnail = Image.fromarray(np.ascontiguousarray(image))
    size = _fit(thumbnail.size, side)
    if size != thumbnail.size:
        # Averages blocks first and leaves at least three times the final size: quicker, and good enough to look at.
        thumbnail = thumbnail.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY)
    return buffer.getvalue()


def _refuse(header: ImageHeader, settings: DecodeSettings) -> DecodeFailure | None:
    """Why a picture of this size is not decoded; None if it is."""
    width, height = header.width, header.height
    size = f"{width} x {height} px"
    if width == 0 or height == 0:
        return DecodeFailure(Reason.CORRUPT, f"{header.format} with a broken header")
    if width * height > settings.max_pixels:
        return DecodeFailure(Reason.TOO_MANY_PIXELS, f"{size}, more than {settings.max_pixels} pixels")
    if header.scans > MAX_JPEG_SCANS:
        return DecodeFailure(Reason.TOO_MANY_PIXELS, f"{size} in {header.scans} scans, more than {MAX_JPEG_SCANS}")
    if min(width, height) < settings.min_image_size:
        return DecodeFailure(Reason.TOO_SMALL, f"{size}, a side below {settings.min_image_size} px")
    ratio = max(width, height) / min(width, height)
    if settings.max_aspect_ratio is not None and ratio > settings.max_aspect_ratio:
        return DecodeFailure(Reason.TOO_ELONGATED, f"{size}, longer than {settings.max_aspect_ratio:g} : 1")
    return None


def _decode(image: Image.Image, image_format: str, settings: DecodeSettings) -> DecodedImage:
    width, height = image.size
    size = _fit((width, height), settings.image_size)
    box: tuple[float, float, float, float] | None = None
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        drafted = image.draft(None, (_DRAFT_MARGIN * size[0], _DRAFT_MARGIN * size[1]))
        box = drafted[1] if drafted else None
    image.load()
    turn = _read_orientation(image)
    image = _to_plain_mode(image)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC, box=box)
    image = _on_white(image)
    if turn is not None:
        image = image.transpose(turn)
    if turn in _SIDEWAYS:
        width, height = height, width
    return DecodedImage(np.array(image), width, height, image_format)


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    longest = max(size)
    if longest <= side:
        return size
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def _read_orientation(image: Image.Image) -> Image.Transpose | None:
    """How to turn the stored picture; None if it is upright or does not say."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # broken metadata do not make a picture unusable
        return None


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """Converts to a mode that can be resized: L, RGB or RGBA."""
    if image.mode.startswith("I"):  # 16-bit grey, which older versions of Pillow open as 32-bit
        return _grey_to_8_bit(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = 65535  # white, as what lies behind
    # 65535 / 255 = 257; the sum fits 32 bits, not 16.
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image)
    return white
