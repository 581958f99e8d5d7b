"""The pictures of a benchmark as files, drawn once and kept."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.support import web_corpus


def prepare_corpus(cache: Path, kind: str, count: int, seed: int = 0) -> Path:
    """A folder with the pictures, one file each; drawn only if it is not there.

    Args:
      cache: folder for what is kept between runs.
      kind: "web" or "large".
      count: how many pictures.
      seed: another one gives other pictures.
    """
    source = hashlib.sha256(Path(web_corpus.__file__).read_bytes()).hexdigest()[:8]
    folder = cache / f"pictures-{kind}-{count}-{seed}-{source}"
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    # Not forked: libraries with threads do not survive it.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for name, data in pool.map(partial(_draw, kind, seed), range(count), chunksize=8):
            (unfinished / name).write_bytes(data)
    unfinished.rename(folder)
    return folder


def _draw(kind: str, seed: int, number: int) -> tuple[str, bytes]:
    picture = web_corpus.draw_picture(kind, number, seed)
    return picture.name, picture.data
