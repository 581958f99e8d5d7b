"""Makes the demonstration's shard: ``python -m beam_recap.demo.shard``.

A webdataset tar of drawn scenes that training never saw, as the web would serve them: most with a right but terse
alt-text, some with another picture's, some with spam, some with text drawn on them, in several formats, one corrupt and
one too small.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tarfile
from pathlib import Path

from PIL import Image

from beam_recap.demo.draw import draw_scene, random_aspect
from beam_recap.demo.paths import SHARD
from beam_recap.demo.scenes import SLOGANS, alt_text, describe, random_scene, spam_text

_SEED = 20240613
_ORIENTATION = 0x0112  # EXIF tag
_ROTATED_LEFT = 8  # EXIF value: the camera was held so that the picture must be turned left to be upright


def make_shard(path: Path, rows: int = 96, seed: int = _SEED) -> None:
    """Writes the shard; the same arguments give the same scenes and captions."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row in range(rows):
            scene = random_scene(rng, held_out=True)
            kind = rng.choices(("right", "sentence", "wrong", "spam", "text"), (50, 10, 12, 10, 18))[0]
            slogan = rng.choice(SLOGANS) if kind == "text" else None
            image = draw_scene(
                scene,
                rng,
                side=rng.randint(256, 420),
                aspect=random_aspect(scene, rng),
                text=slogan,
                text_on_top=row % 2 == 0,
            )
            caption = {
                "right": alt_text(scene, rng),
                "sentence": describe(scene),
                "wrong": alt_text(random_scene(rng), rng),
                "spam": spam_text(rng),
                "text": f"{slogan} {alt_text(scene, rng)}" if rng.random() < 0.5 else alt_text(scene, rng),
            }[kind]
            suffix, data = _encode(image, rng, row)
            if row == 17:
                data = data[: len(data) // 3]  # a download that broke off
            elif row == 41:
                suffix, data = "png", _bytes(image.resize((24, 24)), "PNG")
            facts = {"url": f"https://example.com/{kind}/{row:03d}.{suffix}", "caption": caption, "kind": kind}
            truth = {**facts, "true_caption": describe(scene)}
            key = f"{row:09d}"
            for name, content in (
                (f"{key}.{suffix}", data),
                (f"{key}.json", json.dumps(truth).encode()),
                (f"{key}.txt", caption.encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _encode(image: Image.Image, rng: random.Random, row: int) -> tuple[str, bytes]:
    """Mostly JPEG; also PNG with an alpha channel, WebP, GIF, and a JPEG that only EXIF turns upright."""
    if row % 16 == 3:
        return "png", _bytes(image.convert("RGBA"), "PNG")
    if row % 16 == 7:
        return "webp", _bytes(image, "WEBP", quality=85)
    if row % 16 == 11:
        return "gif", _bytes(image, "GIF")
    if row % 16 == 15:
        exif = Image.Exif()
        exif[_ORIENTATION] = _ROTATED_LEFT
        turned = image.transpose(Image.Transpose.ROTATE_270)
        return "jpg", _bytes(turned, "JPEG", quality=88, exif=exif)
    return "jpg", _bytes(image, "JPEG", quality=rng.randint(75, 92))


def _bytes(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=SHARD)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--seed", type=int, default=_SEED)
    arguments = parser.parse_args()
    make_shard(arguments.output, arguments.rows, arguments.seed)


if __name__ == "__main__":
    main()
