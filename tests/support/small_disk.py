"""A disk of a few hundred kilobytes, for processes that are told to live with it; made without any right to do so."""

from __future__ import annotations

import subprocess
from pathlib import Path

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    """Whether this system lets anybody mount a file system of his own."""
    try:
        done = subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class SmallDisk:
    """A disk in memory at a folder, as a context manager. Only processes started by `command` see it.

    Args:
      folder: is made; others see it empty.
      size_bytes: of the disk.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._size_bytes = size_bytes

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir()
        script = f'mount -t tmpfs -o size={self._size_bytes} none "$0" && echo ready && read line'
        self._holder = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", script, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self._holder.communicate("\n", timeout=20)

    def remount(self, options: str) -> None:
        """Changes the disk: ``ro``, ``rw``, ``size=BYTES``."""
        subprocess.run(self.command("mount", "-o", f"remount,{options}", str(self.folder)), check=True, timeout=20)

    def command(self, *words: str) -> list[str]:
        """The command line that runs a command where the disk is."""
        return [
            "nsenter",
            f"--target={self._holder.pid}",
            "--user",
            "--mount",
            "--preserve-credentials",
            "--wd=.",
            *words,
        ]

    @property
    def seen_from_here(self) -> Path:
        """The folder with the disk's content, for this process."""
        return Path(f"/proc/{self._holder.pid}/root{self.folder}")
