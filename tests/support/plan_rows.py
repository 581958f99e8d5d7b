"""An input whose totals are known: drawn scenes in tars and in tables, most of what fails lying in its first part."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.pictures import encode
from support.shards import write_parquet, write_tar

from beam_recap.demo.draw import draw_scene
from beam_recap.demo.scenes import alt_text, random_scene

# A job that rejects rows of one word, without a picture, and with a wrong caption, and captions the others.
FLAGS = (
    "--preset=recap",
    "--allow_local_files=true",
    "--clip_model=demo",
    "--min_clip_score=0.3",
    "--prefilter=caption_words>1",
    "--captioner=demo",
    "--extra_columns=true",
)
_PICTURES = 40


@dataclass(frozen=True)
class Row:
    caption: str
    picture: bytes


def draw_rows(rows: int, seed: int) -> Iterator[Row]:
    """Scenes with their captions. Of the first third, half have no picture; of the rest, one in twenty."""
    rng = random.Random(seed)
    scenes = []
    for _ in range(_PICTURES):
        scene = random_scene(rng, held_out=True)
        side = rng.choice((200, 300, 900))
        scenes.append((scene, encode(draw_scene(scene, rng, side=side), "JPEG", quality=90)))
    for number in range(rows):
        scene, picture = rng.choice(scenes)
        caption = alt_text(scene if rng.random() < 0.7 else random_scene(rng), rng)
        caption = "red" if rng.random() < 0.15 else f"{caption}, {number}"
        is_damaged = rng.random() < (0.5 if number < rows / 3 else 0.05)
        yield Row(caption, b"no picture" if is_damaged else picture)


def write_rows(folder: Path, rows: int, seed: int = 0) -> Path:
    """The first half as tables of paths, the other as tars; 4 files of each. Returns the folder of the shards."""
    shards, pictures = folder / "shards", folder / "pictures"
    shards.mkdir(parents=True)
    pictures.mkdir()
    drawn = list(draw_rows(rows, seed))
    for number, part in enumerate(np.array_split(np.arange(rows), 8)):
        chosen = [drawn[row] for row in part]
        if number < 4:
            paths = [pictures / f"{row}.jpg" for row in part]
            for path, row in zip(paths, chosen, strict=True):
                path.write_bytes(row.picture)
            columns = {"url": [str(path) for path in paths], "text": [row.caption for row in chosen]}
            write_parquet(shards / f"{number:05d}.parquet", columns, row_group_size=50)
        else:
            samples = [
                {"__key__": f"{row:09d}", "jpg": one.picture, "txt": one.caption.encode()}
                for row, one in zip(part, chosen, strict=True)
            ]
            write_tar(shards / f"{number:05d}.tar", samples)
    return shards
