"""Fits the demonstration's aesthetic head: ``python -m beam_recap.demo.fit_aesthetic``.

The target is a rule, not a taste: few and large things score high (:func:`target`). The head is linear on the tiny
CLIP's unit embedding, fitted by ridge regression, and says in its file what it is.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from beam_recap.demo import paths
from beam_recap.demo.draw import draw_scene, random_aspect
from beam_recap.demo.scenes import Scene, random_scene

_RIDGE = 1e-3
RULE = "4 + 3 x (share of large objects) - (number of objects - 2)"


def target(scene: Scene) -> float:
    """`RULE`: from 3 (three small things) to 8 (one large thing)."""
    large = sum(thing.size == "large" for thing in scene.objects) / len(scene.objects)
    return 4 + 3 * large - (len(scene.objects) - 2)


def pictures(count: int, seed: int, *, held_out: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures, uint8 ``[H, W, 3]``, and their targets, float64 ``[count]``."""
    rng = random.Random(seed)
    scenes = [random_scene(rng, held_out=held_out) for _ in range(count)]
    drawn = [np.asarray(draw_scene(scene, rng, side=200, aspect=random_aspect(scene, rng))) for scene in scenes]
    return drawn, np.array([target(scene) for scene in scenes])


def main() -> None:
    from safetensors.numpy import save_file

    from beam_recap.models.clip_scorer import ClipScorer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=paths.AESTHETIC_HEAD)
    parser.add_argument("--clip", type=Path, default=paths.CLIP)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scorer = ClipScorer.load(str(arguments.clip), None)

    def embed(images: list[np.ndarray]) -> np.ndarray:
        return np.stack([score.embedding for score in scorer.score(images, [None] * len(images))]).astype(np.float64)

    images, targets = pictures(arguments.pictures, arguments.seed, held_out=False)
    inputs = np.hstack([embed(images), np.ones((len(images), 1))])
    penalty = _RIDGE * len(images) * np.eye(inputs.shape[1]) / inputs.shape[1]
    penalty[-1, -1] = 0  # the bias is free
    weights = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ targets)
    save_file(
        {
            "layers.0.weight": weights[None, :-1].astype(np.float32),
            "layers.0.bias": weights[-1:].astype(np.float32),
        },
        str(arguments.output),
        metadata={"scale": "demonstration, 1 to 10", "target": RULE},
    )
    images, targets = pictures(1000, arguments.seed + 1, held_out=True)
    error = targets - (embed(images) @ weights[:-1] + weights[-1])
    print(f"held-out scenes: R2 {1 - error.var() / targets.var():.3f}, mean error {np.abs(error).mean():.3f}")


if __name__ == "__main__":
    main()
