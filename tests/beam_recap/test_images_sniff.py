"""Bytes that are no accepted picture are named as what they are."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
from support.pictures import draw_photo, encode, reason_of

from beam_recap.images import DecodeFailure, DecodeSettings, decode_image
from beam_recap.names import IMAGE_FORMATS
from beam_recap.records import Reason


def named(data: bytes) -> tuple[Reason, str]:
    """Why bytes are refused, and the detail."""
    result = decode_image(data)
    assert isinstance(result, DecodeFailure)
    return result.reason, result.detail


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "nothing"),
        (b"\0", "nothing known"),
        (bytes(10_000), "nothing known"),
        (b"\xff\xd8" + bytes(50), "nothing known"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        (b"\xef\xbb\xbf \r\n<!-- hello --><HTML lang=en>", "an HTML page"),
        ("<html><body>404</body></html>".encode("utf-16"), "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"error": "not found"}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "PostScript"),
        ("Zugriff verweigert: große Datei".encode(), "text: 'Zugriff verweigert"),
        (gzip.compress(b"hello", mtime=0), "gzip data"),
        (_zip(), "a ZIP archive"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), "an MP4 or QuickTime video"),
        (b"\0\0\0\x14ftypqt  " + bytes(50), "an MP4 or QuickTime video"),
        (b"\x1aE\xdf\xa3" + bytes(50), "a Matroska or WebM video"),
        (b"RIFF\x10\0\0\0WAVEfmt " + bytes(50), "a WAV"),
        (b"RIFF\x10\0\0\0AVI LIST" + bytes(50), "an AVI video"),
        (b"OggS" + bytes(50), "an Ogg file"),
        (b"BM is short for something", "text: 'BM is"),
    ],
)
def test_no_picture(data: bytes, name: str) -> None:
    reason, detail = named(data)
    assert reason == Reason.NOT_AN_IMAGE
    assert detail.startswith(f"it is {name}")


@pytest.mark.parametrize(
    ("image_format", "name"),
    [
        ("BMP", "a BMP"),
        ("TIFF", "a TIFF"),
        ("ICO", "an ICO"),
        ("PPM", "a Netpbm picture"),
        ("JPEG2000", "a JPEG 2000"),
        ("DDS", "a DDS"),
        ("ICNS", "an ICNS"),
        ("QOI", "a QOI"),
    ],
)
def test_pictures_of_other_kinds(image_format: str, name: str) -> None:
    assert named(encode(draw_photo(64, 64), image_format)) == (Reason.UNSUPPORTED_FORMAT, f"it is {name}")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' ''>\n<svg width='9'>", "an SVG"),
        (b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'>", "an SVG"),
        (b"8BPS\0\1" + bytes(50), "a PSD"),
        (b"\xff\x0a" + bytes(50), "a JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "a JPEG XL"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "a HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(50), "a HEIC"),
        (b"MM\0*" + bytes(100), "a TIFF"),
    ],
)
def test_other_kinds_by_their_first_bytes(data: bytes, name: str) -> None:
    assert named(data) == (Reason.UNSUPPORTED_FORMAT, f"it is {name}")


def test_an_html_page_with_a_drawing_in_it_is_a_page() -> None:
    page = b"<!DOCTYPE html><html><body><p>Sorry</p><svg width='9'></svg></body></html>"
    assert named(page) == (Reason.NOT_AN_IMAGE, "it is an HTML page")


@pytest.mark.parametrize("kept", IMAGE_FORMATS)
def test_formats_that_are_left_out(kept: str) -> None:
    for name in IMAGE_FORMATS:
        data = encode(draw_photo(64, 64), name.upper())
        if name == kept:
            assert not isinstance(decode_image(data, DecodeSettings(formats=(kept,))), DecodeFailure)
        else:
            assert reason_of(data, formats=(kept,)) == Reason.UNSUPPORTED_FORMAT


def test_details_are_short_and_printable() -> None:
    for data in (b"a" * 100_000, b"\x00\x1b[31m" * 50, b"text \xff\xfe" * 100, "é".encode() * 5000):
        _, detail = named(data)
        assert len(detail) < 150
        assert detail.isprintable()


def test_a_cut_character_does_not_hide_a_text() -> None:
    assert named(b"a" + "é".encode() * 5000)[1].startswith("it is text")
