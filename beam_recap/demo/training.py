"""What the demonstration's training shares: drawn batches, learning rates, the optimizer's step."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from beam_recap.demo import tiny_models as tiny
from beam_recap.demo.draw import draw_scene, places_px, random_aspect
from beam_recap.demo.scenes import BACKGROUNDS, COLORS, SHAPES, SIZES, SLOGANS, Scene, random_scene

_LOG = logging.getLogger(__name__)
BATCH = 64


def picture(
    rng: random.Random, object_weights: Sequence[float]
) -> tuple[Scene, Image.Image, list[tuple[float, float, float]]]:
    """A training scene, its picture (one in five with text on it), and its objects' places, px.

    ``object_weights`` are the chances of one, two and three objects.
    """
    scene = random_scene(rng, held_out=False, objects=rng.choices((1, 2, 3), object_weights)[0])
    text, on_top = None, rng.random() < 0.5
    if rng.random() < 0.2:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 "
        text = rng.choice(SLOGANS) if rng.random() < 0.5 else "".join(rng.choices(letters, k=rng.randint(3, 16)))
    image = draw_scene(scene, rng, side=128, aspect=random_aspect(scene, rng), text=text, text_on_top=on_top)
    return scene, image, places_px(scene, *image.size, has_text=text is not None, text_on_top=on_top)


def square(image: Image.Image, pad: tuple[int, ...]) -> np.ndarray:
    """Pads to a square and shrinks: uint8 ``[60, 60, 3]``."""
    if image.width != image.height:
        side = max(image.size)
        canvas = Image.new("RGB", (side, side), pad)
        canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = canvas
    return np.asarray(image.resize((tiny.IMAGE_SIZE, tiny.IMAGE_SIZE), Image.Resampling.BICUBIC))


def pixels(squares: list[np.ndarray], noise: np.random.Generator) -> torch.Tensor:
    """Normalised pixels with a little noise, which stands in for JPEG's: float32 ``[B, 3, 60, 60]``."""
    x = np.stack(squares).astype(np.float32)
    x += noise.normal(size=x.shape).astype(np.float32) * noise.uniform(0, 6, (len(x), 1, 1, 1)).astype(np.float32)
    x = (np.clip(x, 0, 255) / 255 - np.float32(tiny.PIXEL_MEAN)) / np.float32(tiny.PIXEL_STD)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32))


def patch_labels(scene: Scene, image: Image.Image, places: list[tuple[float, float, float]]) -> np.ndarray:
    """What is at each patch of the padded square: int64 ``[36, 4]`` (shape, colour, size, background); 0 is nothing."""
    patches = tiny.IMAGE_SIZE // tiny.PATCH_SIZE
    side = max(image.size)
    centres = (np.arange(patches) + 0.5) / patches * side
    grid_x, grid_y = np.meshgrid(centres, centres)
    labels = np.zeros((patches, patches, 4), np.int64)
    labels[..., 3] = 1 + list(BACKGROUNDS).index(scene.background)
    for thing, (x, y, radius) in zip(scene.objects, places, strict=True):
        x, y = x + (side - image.width) / 2, y + (side - image.height) / 2
        near = (grid_x - x) ** 2 + (grid_y - y) ** 2 < (radius * 1.05 + side / patches * 0.3) ** 2
        labels[near, 0] = 1 + SHAPES.index(thing.shape)
        labels[near, 1] = 1 + list(COLORS).index(thing.color)
        labels[near, 2] = 1 + SIZES.index(thing.size)
    return labels.reshape(-1, 4)


class Batches(torch.utils.data.IterableDataset):
    """An endless stream of drawn batches, made in a worker process beside the one that trains."""

    def __init__(self, seed: int, pad: tuple[int, ...], object_weights: Sequence[float]):
        self._seed, self._pad, self._object_weights = seed, pad, object_weights

    def __iter__(self) -> Iterator[tuple[list[Scene], torch.Tensor, torch.Tensor]]:
        """Yields scenes, pixels ``[B, 3, 60, 60]`` and patch labels ``[B, 36, 4]``."""
        rng, noise = random.Random(self._seed), np.random.default_rng(self._seed)
        while True:
            drawn = [picture(rng, self._object_weights) for _ in range(BATCH)]
            x = pixels([square(image, self._pad) for _, image, _ in drawn], noise)
            labels = torch.from_numpy(np.stack([patch_labels(*d) for d in drawn]))
            yield [scene for scene, _, _ in drawn], x, labels


def batches(
    seed: int, pad: tuple[int, ...], rates: Iterable[float], object_weights: Sequence[float] = (1, 2, 1)
) -> Iterator[tuple[float, Any]]:
    """Pairs each learning rate with a drawn batch."""
    stream = Batches(seed, pad, object_weights)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4)
    return zip(rates, loader, strict=False)


def rates(steps: int, peak: float, warmup: int) -> Iterator[float]:
    """Learning rate per step: linear warm-up, then a cosine down to 2 % of the peak."""
    for step in range(steps):
        yield peak * min(1, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


class Trainer:
    """AdamW over groups of parameters, each with its own share of the learning rate."""

    def __init__(self, name: str, groups: list[tuple[list[torch.nn.Parameter], float]], weight_decay: float):
        self._name = name
        self._parameters = [p for group, _ in groups for p in group]
        self._optimizer = torch.optim.AdamW(
            [{"params": group, "share": share} for group, share in groups],
            betas=(0.9, 0.98),
            weight_decay=weight_decay,
        )
        self._started = time.monotonic()
        self._step = 0

    def step(self, loss: torch.Tensor, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        if self._step % 100 == 0:
            _LOG.info(
                "%s step %d loss %.4f %.0f s", self._name, self._step, loss.item(), time.monotonic() - self._started
            )
        self._step += 1
