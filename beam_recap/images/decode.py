"""The way of a stranger's bytes, and everything that can stop them on it."""

from __future__ import annotations

from functools import partial

import numpy as np

from beam_recap.images.errors import FATAL, failure_of
from beam_recap.images.exif import exif_to_json, read_orientation
from beam_recap.images.geometry import Plan, plan_resize
from beam_recap.images.headers import MAX_JPEG_SCANS, ImageHeader, read_header
from beam_recap.images.jpeg import decode_jpeg_quickly
from beam_recap.images.pillow import OpenedAvif, OpenedJpeg, OpenedPicture
from beam_recap.images.png import decode_png_quickly
from beam_recap.images.resize import fit_square, is_sideways, resize, turn_upright
from beam_recap.images.results import DecodedImage, DecodeFailure
from beam_recap.images.settings import DecodeSettings
from beam_recap.images.sniff import name_other
from beam_recap.images.webp import decode_webp_quickly
from beam_recap.records import Reason

_JPEG_BITS = 8

# The streams of an AVIF may together have so many times the pixels of the largest picture: one for colour and one for
# transparency, and twice each way in a size that is only known to a power of two.
_ALLOCATION_MARGIN = 4

_DEFAULT_SETTINGS = DecodeSettings()

_QUICK_WAYS = {"PNG": decode_png_quickly, "WEBP": decode_webp_quickly}


def decode_image(data: bytes, settings: DecodeSettings | None = None) -> DecodedImage | DecodeFailure:
    """Decodes a JPEG, PNG, WebP, GIF or AVIF, turns it upright, and resizes it.

    Checks come in this order, and the first that fails gives the reason:

    1. what it is, by its first bytes: NOT_AN_IMAGE (the detail says what it is), or UNSUPPORTED_FORMAT for pictures of
       other kinds (BMP, TIFF, HEIC, SVG, ...), of kinds that `DecodeSettings.formats` leaves out, and for JPEGs of 12
       bits.
    2. its header: CORRUPT if it is broken, TOO_MANY_PIXELS (also for a JPEG that goes over its pixels more than 64
       times, and a picture that would be enlarged to more), TOO_SMALL, AREA_TOO_LARGE, TOO_ELONGATED. No decoder has
       seen the bytes so far.
    3. its pixels: CORRUPT, also if they end too early (a file that only lacks what follows its pixels is whole; a JPEG
       with wrong bits among its pixels is not refused, as nowhere), OUT_OF_MEMORY.

    JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where at least twice the final size is left. The rules for
    colours and transparency are in `pixel_modes`, for sizes in `DecodeSettings`; EXIF's orientation is applied, and for
    an AVIF that of its boxes; of an animation the first frame is taken. Broken metadata do not matter. Runs in one
    thread; threads may call it at once.

    Args:
      data: the encoded picture; may be anything.
      settings: the limits and the size.

    Returns:
      The pixels, or why there are none. Nothing is raised but KeyboardInterrupt, SystemExit and GeneratorExit.
    """
    try:
        return _decode(data, settings or _DEFAULT_SETTINGS)
    except FATAL:
        raise
    except BaseException as error:  # whatever a decoder raises
        return failure_of(error)


def _decode(data: bytes, settings: DecodeSettings) -> DecodedImage | DecodeFailure:
    header = read_header(data)
    if header is None:
        reason, name = name_other(data)
        return DecodeFailure(reason, f"it is {name}")
    failure = _refuse_kind(header, settings) or _refuse_size(header, settings)
    if failure is not None:
        return failure
    if header.jpeg is not None:
        return _decode_jpeg(data, header, settings)
    quick = _QUICK_WAYS.get(header.format)
    loaded = None if quick is None else quick(data, (header.width, header.height))
    if loaded is None:
        opened = _open(data, header)
        if isinstance(opened, DecodeFailure):
            return opened
        # The decoder must not see another size than we did, say in a second header.
        failure = _refuse_size(ImageHeader(header.format, *opened.size), settings)
        if failure is not None:
            return failure
        loaded = opened.load()
        del opened  # with it goes the decoder's own copy
    image, orientation, exif = loaded.image, loaded.orientation, loaded.exif
    del loaded
    plan, stored = _plan(image.size, orientation, settings)
    resized = resize(image, stored)
    return _finish(resized, image.size, orientation, plan, header.format, exif, settings)


def _decode_jpeg(data: bytes, header: ImageHeader, settings: DecodeSettings) -> DecodedImage | DecodeFailure:
    facts = header.jpeg
    assert facts is not None
    size = header.width, header.height
    orientation = read_orientation(facts.exif)
    plan, stored = _plan(size, orientation, settings)
    pixels = decode_jpeg_quickly(data, facts, stored)
    if pixels is None:
        opened = OpenedJpeg(data, facts)
        if opened.size != size:
            return DecodeFailure(Reason.CORRUPT, "a JPEG with headers that contradict each other")
        image, extent = opened.load(stored)
        del opened
        pixels = resize(image, stored, extent)
    return _finish(pixels, size, orientation, plan, header.format, facts.exif, settings)


def _open(data: bytes, header: ImageHeader) -> OpenedAvif | OpenedPicture | DecodeFailure:
    if header.format != "AVIF":
        return OpenedPicture(data, header.format)
    try:
        return OpenedAvif(data)
    except ImportError:
        return DecodeFailure(Reason.UNSUPPORTED_FORMAT, "this Pillow was built without AVIF")


def _plan(size: tuple[int, int], orientation: int, settings: DecodeSettings) -> tuple[Plan, tuple[int, int]]:
    """The sizes upright, and the one to resize to before the picture is turned."""
    swap = partial(_swapped, is_sideways=is_sideways(orientation))
    plan = plan_resize(*swap(size), settings)
    return plan, swap(plan.resized)


def _swapped(size: tuple[int, int], is_sideways: bool) -> tuple[int, int]:
    return (size[1], size[0]) if is_sideways else size


def _finish(
    pixels: np.ndarray,
    size: tuple[int, int],
    orientation: int,
    plan: Plan,
    image_format: str,
    exif: bytes | None,
    settings: DecodeSettings,
) -> DecodedImage:
    if orientation != 1:
        pixels = turn_upright(pixels, orientation)
    width, height = _swapped(size, is_sideways(orientation))
    return DecodedImage(
        fit_square(pixels, plan), width, height, image_format, exif_to_json(exif) if settings.read_exif else None
    )


def _refuse_kind(header: ImageHeader, settings: DecodeSettings) -> DecodeFailure | None:
    if header.format.lower() not in settings.formats:
        return DecodeFailure(
            Reason.UNSUPPORTED_FORMAT, f"it is a {header.format}, which is not among the formats wanted"
        )
    if header.jpeg is not None and header.jpeg.bits != _JPEG_BITS:
        return DecodeFailure(Reason.UNSUPPORTED_FORMAT, f"it is a JPEG of {header.jpeg.bits} bits")
    return None


def _refuse_size(header: ImageHeader, settings: DecodeSettings) -> DecodeFailure | None:
    """Why a picture of this size is not decoded; None if it is."""
    width, height = header.width, header.height
    size = f"{width} x {height} px"
    if width == 0 or height == 0:
        return DecodeFailure(Reason.CORRUPT, f"{header.format} with a broken header")
    if width * height > settings.max_pixels:
        return DecodeFailure(Reason.TOO_MANY_PIXELS, f"{size}, more than {settings.max_pixels} pixels")
    if header.allocated_pixels > _ALLOCATION_MARGIN * settings.max_pixels:
        detail = f"{size}, but it holds up to {header.allocated_pixels} pixels"
        return DecodeFailure(Reason.TOO_MANY_PIXELS, detail)
    if header.scans > MAX_JPEG_SCANS:
        return DecodeFailure(Reason.TOO_MANY_PIXELS, f"{size} in more than {MAX_JPEG_SCANS} scans")
    if min(width, height) < settings.min_image_size:
        return DecodeFailure(Reason.TOO_SMALL, f"{size}, a side below {settings.min_image_size} px")
    if settings.max_image_area is not None and width * height > settings.max_image_area:
        return DecodeFailure(Reason.AREA_TOO_LARGE, f"{size}, more than {settings.max_image_area:g} square pixels")
    ratio = max(width, height) / min(width, height)
    if settings.max_aspect_ratio is not None and ratio > settings.max_aspect_ratio:
        return DecodeFailure(Reason.TOO_ELONGATED, f"{size}, longer than {settings.max_aspect_ratio:g} : 1")
    resized = plan_resize(width, height, settings).resized
    if resized[0] * resized[1] > settings.max_pixels:
        detail = f"{size}, resized to {resized[0]} x {resized[1]} px, more than {settings.max_pixels} pixels"
        return DecodeFailure(Reason.TOO_MANY_PIXELS, detail)
    return None
