"""What it takes to find the near duplicates of one large cluster, beside the bare product of all its pairs.

    python -m tests.benchmarks.duplicates --rows=100000 --pictures=web

Set OPENBLAS_NUM_THREADS=1 to measure one core. Pictures are made up; see `PICTURES`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from beam_recap.duplicates.components import BLOCK
from beam_recap.duplicates.near import near_duplicates
from beam_recap.duplicates.rows import DuplicateRow, Place
from beam_recap.duplicates.settings import DEFAULT_SIMILARITY

_CHUNK = 4096
_PRODUCTS = 4e8  # so many pairs are multiplied to measure the bare product; all take as long in proportion

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def web(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    """About what CLIP embeddings of a cluster are: cosines about 0.7, variance that decays; one in ten has a twin."""
    return _around(random, rows, dimensions, share=0.3, twins=0.1)


def alike(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    """Cosines about 0.9, just below the threshold: a shop's photographs."""
    return _around(random, rows, dimensions, share=0.15, twins=0.1)


def scattered(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    """No structure at all."""
    return random.standard_normal((rows, dimensions))


def clump(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    """Every pair is a near duplicate, none is equal."""
    return _around(random, rows, dimensions, share=0.03, twins=0.0)


def halves(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    """One half are near duplicates of each other, the other half has no structure; mixed."""
    numbers = np.where(random.random((rows, 1)) < 0.5, 1.0, 0.0) * 30 * _directions(dimensions)[0]
    return numbers + random.standard_normal((rows, dimensions)) * np.sqrt(20 / dimensions)


def same(random: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    """One picture."""
    return np.repeat(_directions(dimensions)[:1], rows, axis=0)


PICTURES: dict[str, Draw] = {draw.__name__: draw for draw in (web, alike, scattered, clump, halves, same)}


def _directions(dimensions: int) -> np.ndarray:
    """The same orthonormal basis whenever it is asked for."""
    return np.linalg.qr(np.random.default_rng(1).standard_normal((dimensions, dimensions)))[0].T


def _around(random: np.random.Generator, rows: int, dimensions: int, *, share: float, twins: float) -> np.ndarray:
    """Directions around one, ``share`` of their squared length beside it, spread as 1 / rank over the others."""
    basis = _directions(dimensions)
    spread = 1 / np.sqrt(np.arange(1, dimensions))
    beside = random.standard_normal((rows, dimensions - 1)) * spread
    beside *= np.sqrt(share / np.square(spread).sum())
    twin = np.flatnonzero(random.random(rows) < twins)
    beside[twin] = beside[random.integers(0, rows, len(twin))]
    drawn = np.sqrt(1 - share) * basis[0] + beside @ basis[1:]
    drawn[twin] += random.standard_normal((len(twin), dimensions)) * 0.1 / np.sqrt(dimensions)
    return drawn


def make_rows(pictures: str, rows: int, dimensions: int, seed: int = 0) -> list[DuplicateRow]:
    """Rows of one cluster."""
    random = np.random.default_rng(seed)
    made: list[DuplicateRow] = []
    for start in range(0, rows, _CHUNK):
        drawn = PICTURES[pictures](random, min(_CHUNK, rows - start), dimensions)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        scores = random.random(len(drawn)).tolist()
        for number, (score, half) in enumerate(zip(scores, drawn.astype("<f2"), strict=True), start):
            place = Place(f"shard-{number // 2000:05d}.parquet", number % 2000)
            made.append(
                DuplicateRow(place=place, uid=f"{number:032x}", similarity=score, cluster=7, embedding=half.tobytes())
            )
    return made


def bare_product(rows: int, dimensions: int) -> float:
    """Seconds that a processor takes for the float32 products of all pairs, each pair once, a block at a time."""
    random = np.random.default_rng(2)
    units = random.standard_normal((max(2, min(rows // BLOCK, 16)) * BLOCK, dimensions), dtype=np.float32)
    products = np.empty((BLOCK, BLOCK), np.float32)
    done, started = 0, time.process_time()
    while done < min(_PRODUCTS, rows * rows / 2):
        start = done // BLOCK**2 * BLOCK % (len(units) - BLOCK)
        np.matmul(units[:BLOCK], units[start : start + BLOCK].T, out=products)
        done += BLOCK**2
    return (time.process_time() - started) * (rows * rows / 2) / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--pictures", choices=PICTURES, default="web")
    parser.add_argument("--similarity", type=float, default=DEFAULT_SIMILARITY)
    flags = parser.parse_args()
    rows = make_rows(flags.pictures, flags.rows, flags.dimensions)
    before = _reset_peak()
    started, wall = time.process_time(), time.perf_counter()
    gone = near_duplicates(rows, flags.similarity)
    seconds, wall = time.process_time() - started, time.perf_counter() - wall
    peak = _memory("VmHWM") - before
    bare = bare_product(flags.rows, flags.dimensions)
    print(
        f"{flags.pictures}: {flags.rows} rows x {flags.dimensions}, cosine >= {flags.similarity}: {len(gone)} gone; "
        f"{seconds:.1f} s of processor time ({wall:.1f} s), {peak / 2**20:.0f} MiB beside the rows; "
        f"{seconds / bare:.2f} of the bare product's {bare:.1f} s"
    )


def _reset_peak() -> int:
    """Resident memory now, in bytes; from here on the peak counts."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


if __name__ == "__main__":
    main()
