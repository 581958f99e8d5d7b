"""The log of a crash: what a paragraph on the terminal has no room for."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
import time
from collections.abc import Sequence

from beam_recap import __version__
from beam_recap.terminal import TERMINAL
from beam_recap.versions import installed_versions

_PACKAGES = ("apache-beam", "torch", "transformers", "open_clip_torch", "rapidocr", "pyarrow")


def write_crash_log(prog: str, argv: Sequence[str], trace: str) -> str | None:
    """Writes a file that only this user can read, in the system's folder for temporary files.

    Args:
      prog: the command.
      argv: its arguments.
      trace: of what failed.

    Returns:
      The file's path; None if it cannot be written.
    """
    packages = ", ".join(f"{name} {version}" for name, version in installed_versions(_PACKAGES).items())
    others = TERMINAL.kept_aside().strip()
    parts = [
        f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}: {shlex.join([*prog.split(), *argv])}",
        f"beam-recap {__version__}, {packages}",
        f"The trace:\n\n{trace.strip()}",
    ]
    if others:
        parts.append(f"What libraries and worker processes said:\n\n{others}")
    path = None
    with contextlib.suppress(OSError):
        prefix = f"beam-recap-{time.strftime('%Y%m%d-%H%M%S')}-"
        descriptor, path = tempfile.mkstemp(".log", prefix)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n\n".join(parts) + "\n")
        return path
    if path is not None:  # it was cut off by a full disk
        with contextlib.suppress(OSError):
            os.unlink(path)
    return None
