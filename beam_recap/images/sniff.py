"""What bytes are, when they are no picture of an accepted kind: so that a rejection says what a server really sent."""

from __future__ import annotations

import re

from beam_recap.records import Reason

# Pictures of other kinds, by their first bytes.
_OTHER_PICTURES = (
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a BigTIFF"),
    (b"MM\0+", "a BigTIFF"),
    (b"\0\0\x01\0", "an ICO"),
    (b"\0\0\x02\0", "a CUR"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"8BPS", "a PSD"),
    (b"8BPB", "a PSD"),
    (b"DDS ", "a DDS"),
    (b"qoif", "a QOI"),
    (b"v/1\x01", "an OpenEXR"),
    (b"#?RADIANCE", "a Radiance HDR"),
    (b"icns", "an ICNS"),
    (b"BPG\xfb", "a BPG"),
    (b"FLIF", "a FLIF"),
    (b"II\xbc\x01", "a JPEG XR"),
    (b"\xd7\xcd\xc6\x9a", "a WMF"),
    (b"\x8aMNG\r\n\x1a\n", "an MNG"),
    (b"AT&TFORM", "a DjVu"),
)
# Anything else that servers send where a picture was asked for.
_NO_PICTURES = (
    (b"%PDF-", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"FLV\x01", "a Flash video"),
    (b"FWS", "a Flash film"),
    (b"CWS", "a Flash film"),
    (b"ZWS", "a Flash film"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"\0\0\x01\xb3", "an MPEG video"),
    (b"0&\xb2u\x8ef\xcf\x11", "a Windows Media file"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3"),
    (b"fLaC", "a FLAC"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
)
# Brands of the ISO base media file format (ISO/IEC 14496-12) that are pictures: HEIF (ISO/IEC 23008-12).
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"j2ki"}
)
_VIDEO_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip"})  # old QuickTime files begin with one
_LOOK_AT = 4096  # bytes; comments and declarations before a document's first element may be long
_SVG = re.compile(rb"<(?:[a-z0-9_]+:)?svg[\s>/]", re.IGNORECASE)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|script|style|meta|div|p|h1|a|br|center|table)[\s>/]", re.I
)
_CONTROL = frozenset(range(32)) - {9, 10, 12, 13, 27}


def name_other(data: bytes) -> tuple[Reason, str]:
    """Names bytes that are no JPEG, PNG, WebP, GIF or AVIF.

    Returns:
      UNSUPPORTED_FORMAT for a picture of another kind (an SVG is one, too: a picture that is a document with scripts
      and links), else NOT_AN_IMAGE; and what it is, with an article.
    """
    picture = _other_picture(data)
    if picture is not None:
        return Reason.UNSUPPORTED_FORMAT, picture
    return Reason.NOT_AN_IMAGE, _no_picture(data)


def _other_picture(data: bytes) -> str | None:
    for start, name in _OTHER_PICTURES:
        if data.startswith(start):
            return name
    if (
        data.startswith(b"BM")
        and len(data) >= 18
        and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 108, 124)
    ):
        return "a BMP"  # with the length of one of its headers
    if re.match(rb"P[1-6]\s+[#\d]|P7\s", data):
        return "a Netpbm picture"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "a HEIC"
    return "an SVG" if _is_svg(_document(data)) else None


def _no_picture(data: bytes) -> str:
    if not data:
        return "nothing"
    if data[4:8] == b"ftyp" or data[4:8] in _VIDEO_BOXES:
        return "an MP4 or QuickTime video"
    if data.startswith(b"RIFF"):
        return {b"WAVE": "a WAV", b"AVI ": "an AVI video"}.get(data[8:12], "a RIFF file")
    for start, name in _NO_PICTURES:
        if data.startswith(start):
            return name
    document = _document(data)
    if document.startswith(b"<"):
        return "an HTML page" if _HTML.search(document) else "XML"
    if re.match(rb"\{\s*[\"}]|\[\s*[\[{\"\d\]]", document):
        return "JSON"
    if re.match(rb"GIF8[^79]|GIF[^8]", data):
        return "a damaged GIF"
    if _is_text(data[:_LOOK_AT]):
        return f"text: {_shown(document)}"
    return f"nothing known; it starts with {bytes(data[:16])!r}"


def _is_svg(document: bytes) -> bool:
    """Whether this begins with a drawing; a page may have one further down."""
    drawing, page = _SVG.search(document), _HTML.search(document)
    return drawing is not None and (page is None or drawing.start() < page.start())


def _document(data: bytes) -> bytes:
    """The beginning as bytes of ASCII, without a byte order mark and white space; empty if it is no text."""
    head = bytes(data[:_LOOK_AT])
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        head = head.decode("utf-16", "ignore").encode("utf-8", "ignore")
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return head if head and head[0] not in _CONTROL else b""


def _is_text(head: bytes) -> bool:
    if _CONTROL & set(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == _LOOK_AT  # only cut in the middle of a character
    return True


def _shown(document: bytes) -> str:
    text = " ".join(document[:200].decode("utf-8", "replace").split())
    return repr(text[:60])
