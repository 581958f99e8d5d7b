"""Self-contained pages from templates. No script, no request, everything from strangers escaped."""

from __future__ import annotations

import base64
import importlib.resources
from typing import Any

_JPEG_MAGIC = b"\xff\xd8\xff"
_MAX_THUMBNAIL_BYTES = 256 * 1024  # a thumbnail takes a tenth of that
# What no text of a page may hold: control characters but tab and line feed, and halves of surrogate pairs.
_CONTROLS = {
    code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)) if code not in (0x09, 0x0A)
}


def render_page(package: str, template: str, /, **values: Any) -> str:
    """A page's text.

    Args:
      package: that holds the template, as ``beam_recap.report``.
      template: its file name; it may place ``{{ style }}``, the style sheet that all pages share.
      values: for the template.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    style = Markup(_read("beam_recap.report", "style.html").rstrip("\n"))  # noqa: S704 - a file of ours
    return environment.from_string(_read(package, template)).render(style=style, **values)


def data_uri(thumbnail: bytes | None) -> str | None:
    """A small JPEG as the address of an image; None where there is none."""
    if not thumbnail or len(thumbnail) > _MAX_THUMBNAIL_BYTES or not thumbnail.startswith(_JPEG_MAGIC):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(thumbnail).decode()}"


def clipped(text: str | None, characters: int) -> str | None:
    """The text, cut with an ellipsis where it is longer."""
    return text if text is None or len(text) <= characters else text[: characters - 1] + "…"


def _read(package: str, name: str) -> str:
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _printable(value: Any) -> Any:
    return value.translate(_CONTROLS) if type(value) is str else value
