"""What is said on a command's terminal: our own lines as they are, and of others' only what was asked for."""

from __future__ import annotations

import ast
import logging
import os
import re
import sys
from pathlib import Path
from typing import TextIO

from beam_recap.progress.counter import MARK, PROGRESS
from beam_recap.terminal import TERMINAL

# Beam says the first two on every run: one concerns a metric of memory, one a file that only remote workers have. The
# third is the traceback of wherever Ctrl-C found it. The others tell of an engine's normal start and end.
_NOISE = (
    "Resource module is not available",
    "No semi_persistent_directory found",
    "KeyboardInterrupt [while running",
    "Really starting service",
    "Really destroying service",
    "Waiting for grpc channel",
    "process failed while running (envID",  # how Prism ends workers; of those that fail it says so otherwise, too
)
# A worker's line is the text of a structure.
_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)*)"')
_PLACE = re.compile(r'log_location: "((?:[^"\\]|\\.)*)"')
_ROOT = Path(__file__).parents[1]
_OURS = tuple(str(_ROOT / name) + os.sep for name in ("beam_recap", "transforms", "pipelines"))


class _OtherLines(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes where others write, wherever that leads by then."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass


class _OurLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        TERMINAL.say(self.format(record))


def log_plainly(*, verbose: bool = False) -> None:
    """Sets logging up for a command line. Calling it again is harmless.

    Args:
      verbose: show everything at INFO, whoever says it.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_OtherLines())
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    for handler in root.handlers:
        _set_filter(handler, _not_noise, on=not verbose)
        if isinstance(handler, _OtherLines):
            handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    workers = logging.getLogger("apache_beam.runners.portability.local_job_service")
    workers.setLevel(logging.INFO)
    _set_filter(workers, _worker_line, on=not verbose)
    _set_filter(workers, _worker_counts, on=verbose)
    ours = logging.getLogger("beam_recap")
    handler = _OurLines()
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _set_filter(place: logging.Filterer, function: logging._FilterType, *, on: bool) -> None:
    if on and function not in place.filters:
        place.addFilter(function)
    elif not on:
        place.removeFilter(function)


def _not_noise(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(noise in text for noise in _NOISE)


def _worker_counts(record: logging.LogRecord) -> bool:
    """Takes what worker processes tell of their progress; everything else goes on."""
    text = record.getMessage()
    if MARK not in text:
        return True
    told = _string(_MESSAGE, text)
    if not told.startswith(MARK):
        return True
    PROGRESS.heard(told.removeprefix(MARK))
    return False


def _worker_line(record: logging.LogRecord) -> bool:
    """Worker processes log through Beam. Their warnings go on: this project's as its own, others' as others'."""
    if not _worker_counts(record) or record.levelno < logging.WARNING:
        return False
    text = record.getMessage()
    if _string(_PLACE, text).startswith(_OURS):
        logging.getLogger("beam_recap.worker").log(record.levelno, "%s", _string(_MESSAGE, text))
        return False
    return _not_noise(record)


def _string(field: re.Pattern[str], text: str) -> str:
    """A field's text, whose escapes are those of C, which Python's bytes have too; "" if it is not there."""
    found = field.search(text)
    if found is None:
        return ""
    escaped = "".join(chr(byte) if byte < 128 else f"\\x{byte:02x}" for byte in found.group(1).encode(errors="replace"))
    try:
        return str(ast.literal_eval(f'b"{escaped}"').decode(errors="replace"))
    except (ValueError, SyntaxError):
        return found.group(1)
