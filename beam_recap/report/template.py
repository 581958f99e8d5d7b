"""Self-contained pages from templates. No script, no request, everything from strangers escaped."""

from __future__ import annotations

import base64
import functools
import importlib.resources
from typing import Any

_SHARED = "beam_recap.report"  # holds what templates of other packages include too
_JPEG_MAGIC = b"\xff\xd8\xff"
_MAX_THUMBNAIL_BYTES = 64 * 1024  # a thumbnail takes a fifth of that; a page shows some 150
# What no text of a page may hold: control characters but tab and line feed, halves of surrogate pairs, and what is no
# character at all.
_CONTROLS = {
    code: "\ufffd"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
    if code not in (0x09, 0x0A)
}


def render_page(package: str, template: str, /, **values: Any) -> str:
    """A page's text.

    Args:
      package: that holds the template, as ``beam_recap.report``.
      template: its file name; it may extend and import the templates of ``beam_recap.report``.
      values: for the template.
    """
    return _environment().get_template(f"{package}/{template}").render(**values)


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
        loader=jinja2.FunctionLoader(_read),
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment


def data_uri(thumbnail: bytes | None) -> str | None:
    """A small JPEG as the address of an image; None where there is none."""
    if not thumbnail or len(thumbnail) > _MAX_THUMBNAIL_BYTES or not thumbnail.startswith(_JPEG_MAGIC):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(thumbnail).decode()}"


def clipped(text: str | None, characters: int) -> str | None:
    """The text, cut with an ellipsis where it is longer."""
    return text if text is None or len(text) <= characters else text[: characters - 1] + "…"


def printable(text: str) -> str:
    """The text with a mark in place of everything that HTML or XML may not hold."""
    return text.translate(_CONTROLS)


def _read(name: str) -> str:
    """A template: ``PACKAGE/FILE``, or a file that all share."""
    package, _, file = name.rpartition("/")
    return importlib.resources.files(package or _SHARED).joinpath(file).read_text(encoding="utf-8")


def _finalized(value: Any) -> Any:
    return printable(value) if type(value) is str else value
