"""Files at hand as local ones, however far away they lie."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from beam_recap import files

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def at_hand(paths: Sequence[str]) -> Iterator[list[str]]:
    """Local paths of files: a local file's own, and for others that of a copy that is gone when the block ends.

    Raises:
      OSError: a file cannot be read, or there is no space for its copy.
    """
    with tempfile.TemporaryDirectory(prefix="beam-recap-publish-") as folder:
        places = []
        for number, path in enumerate(paths):
            if "://" not in path:
                places.append(path)
                continue
            copy = Path(folder, f"{number:06d}")
            with files.open_read(path) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
            places.append(str(copy))
        yield places
