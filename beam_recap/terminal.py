"""Standard error: what this project says is shown, and what others write there meanwhile is kept aside.

Libraries write to standard error as they like: warnings, bars, C++ messages, and so do worker processes, which inherit
it. A command shows only its own lines, and lays the rest open when something fails (see `crash_log`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import IO, TextIO

from beam_recap import ending

VERBOSE = "BEAM_RECAP_VERBOSE"  # in the environment: nothing is kept aside, here and in worker processes
_MOST_BYTES = 4 << 20  # of others' text; of more, the last half of it stays
_STDERR = 2


class Terminal:
    """The command's standard error. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._aside: IO[bytes] | None = None  # a file without a name: it is gone with the process, however that ends
        self._before: TextIO | None = None  # `sys.stderr` while others' is the file
        self._saved: TextIO | None = None  # another way to where descriptor 2 led
        self._show: Callable[[str], object] | None = None

    @property
    def stream(self) -> TextIO | None:
        """Where people read; None if that is closed."""
        if self._saved is not None:
            return self._saved
        return self._before if self._aside is not None else sys.stderr

    @property
    def is_screen(self) -> bool:
        """Whether it is a terminal whose lines can be drawn anew."""
        stream = self.stream
        with contextlib.suppress(OSError, ValueError):  # closed
            is_terminal = stream is not None and stream.isatty()
            return is_terminal and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
        return False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines; 80 x 24 where there is no terminal."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            columns, lines = os.get_terminal_size(self.stream.fileno())  # type: ignore[union-attr]
            if columns and lines:
                return columns, lines
        return 80, 24

    def say(self, text: str) -> None:
        """Shows lines of this project."""
        show, stream = self._show, self.stream
        if show is not None:
            show(text)
        elif stream is not None:
            with contextlib.suppress(OSError, ValueError):  # nobody reads any more
                print(text, file=stream, flush=True)

    def show_by(self, show: Callable[[str], object] | None) -> None:
        """Has lines shown by what draws the screen; None: printed again."""
        self._show = show

    def set_aside(self) -> None:
        """From now on what others write, also in processes that are started, is kept and not shown."""
        with self._lock:
            if self._aside is not None:
                return
            try:
                aside = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  it stays open
                descriptor = os.dup(_STDERR)
            except OSError:  # a full disk, or no standard error: then it is shown
                return
            os.set_inheritable(descriptor, False)
            _append(aside)
            self._before = sys.stderr
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            if _descriptor(sys.stderr) == _STDERR:
                self._saved = _writer(descriptor, sys.stderr)
            self._spare = descriptor
            self._aside = aside
            os.dup2(aside.fileno(), _STDERR)
            sys.stderr = _writer(_STDERR, sys.stderr)

    def give_back(self) -> None:
        """Ends what `set_aside` began; what was kept until then is forgotten."""
        with self._lock:
            if self._aside is None:
                return
            os.dup2(self._spare, _STDERR)
            os.close(self._spare)
            sys.stderr = self._before  # type: ignore[assignment]
            self._aside.close()
            self._aside = self._saved = self._before = None

    def kept_aside(self) -> str:
        """What others have written, or its last megabytes."""
        with self._lock:
            if self._aside is None:
                return ""
            with contextlib.suppress(OSError, ValueError):
                size = os.fstat(self._aside.fileno()).st_size
                start = max(0, size - _MOST_BYTES)
                return os.pread(self._aside.fileno(), _MOST_BYTES, start).decode(errors="replace")
            return ""

    def keep_little(self) -> None:
        """Shortens what was kept, if it has grown large; to be called now and then."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._aside is not None and os.fstat(self._aside.fileno()).st_size > 2 * _MOST_BYTES:
                last = self.kept_aside().encode()
                self._aside.truncate(0)
                os.write(self._aside.fileno(), b"(the beginning is left out)\n" + last)


def _append(file: IO[bytes]) -> None:
    """Every process writes at the file's end, wherever that is."""
    import fcntl

    flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)


def _descriptor(stream: TextIO | None) -> int | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return stream.fileno()  # type: ignore[union-attr]
    return None


def _writer(descriptor: int, like: TextIO | None) -> TextIO:
    encoding = getattr(like, "encoding", None) or "utf-8"
    return open(descriptor, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)


TERMINAL = Terminal()
ending.at_end(TERMINAL.give_back)  # the last sentence is written to descriptor 2
