"""Measures the demonstration's models on fresh held-out scenes: ``python -m beam_recap.demo.evaluate``.

Pictures go the way of the pipeline's: drawn, saved as JPEG, decoded, and given to the same engines.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from beam_recap.demo import paths
from beam_recap.demo.draw import draw_scene, random_aspect
from beam_recap.demo.scenes import SLOGANS, Scene, describe, facts, one_word_wrong, parse, random_scene


@dataclass(frozen=True, slots=True)
class CaptionAccuracy:
    """Shares of pictures in [0, 1]: ``exact`` names every object, size, colour, place and the background rightly."""

    pictures: int
    exact: float
    exact_by_objects: dict[int, float]
    mistakes: tuple[tuple[str, str], ...]  # the first few (right, given)


@dataclass(frozen=True, slots=True)
class ClipRanking:
    """How a CLIP tells right captions from wrong ones, shares in [0, 1]."""

    pictures: int
    right_above_one_word_wrong: float
    auc_matched_against_mismatched: float
    matched_mean: float
    mismatched_mean: float


def held_out_pictures(count: int, seed: int, *, text_share: float = 0.2) -> list[tuple[Scene, np.ndarray]]:
    """Held-out scenes with their pictures after JPEG, uint8 ``[H, W, 3]``; some with a line of text on them."""
    rng = random.Random(seed)
    pictures = []
    for _ in range(count):
        scene = random_scene(rng, held_out=True)
        text = rng.choice(SLOGANS) if rng.random() < text_share else None
        aspect, side = random_aspect(scene, rng), rng.randint(200, 480)
        image = draw_scene(scene, rng, side=side, aspect=aspect, text=text, text_on_top=rng.random() < 0.5)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(75, 95))
        pictures.append((scene, np.asarray(Image.open(buffer).convert("RGB"))))
    return pictures


def caption_accuracy(captioner: Any, count: int, seed: int) -> CaptionAccuracy:
    """Captions ``count`` held-out pictures and parses the captions back."""
    pictures = held_out_pictures(count, seed)
    captions = captioner.caption([image for _, image in pictures])
    right: dict[int, list[bool]] = {1: [], 2: [], 3: []}
    mistakes = []
    for (scene, _), caption in zip(pictures, captions, strict=True):
        text = getattr(caption, "text", f"({caption})")
        is_right = parse(text) == facts(scene)
        right[len(scene.objects)].append(is_right)
        if not is_right:
            mistakes.append((describe(scene), text))
    everything = [value for values in right.values() for value in values]
    by_objects = {number: float(np.mean(values)) for number, values in right.items() if values}
    return CaptionAccuracy(count, float(np.mean(everything)), by_objects, tuple(mistakes[:5]))


def clip_ranking(scorer: Any, count: int, seed: int) -> ClipRanking:
    """Scores ``count`` held-out pictures against their caption, the same with one word wrong, and all the others'."""
    pictures = held_out_pictures(count, seed)
    rng = random.Random(seed + 1)
    captions = [describe(scene) for scene, _ in pictures]
    scores = scorer.score([image for _, image in pictures], captions)
    embeddings = [score.embedding for score in scores]
    wrong = scorer.score_captions(embeddings, [one_word_wrong(caption, rng) for caption in captions])
    matched = np.array([score.score for score in scores])
    shifted = [captions[(i + 1 + j) % count] for j in range(4) for i in range(count)]
    other = scorer.score_captions(embeddings * 4, shifted)
    # A neighbour that happens to have the very same facts is no mismatch.
    mismatched = np.array([score.score for i, score in enumerate(other) if shifted[i] != captions[i % count]])
    return ClipRanking(
        pictures=count,
        right_above_one_word_wrong=float(np.mean(matched > np.array([score.score for score in wrong]))),
        auc_matched_against_mismatched=float(np.mean(matched[:, None] > mismatched[None, :])),
        matched_mean=float(matched.mean()),
        mismatched_mean=float(mismatched.mean()),
    )


def main() -> None:
    from beam_recap.models.captioner import Captioner
    from beam_recap.models.clip_scorer import ClipScorer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", default=str(paths.MODELS))
    arguments = parser.parse_args()
    captioner = Captioner.load(f"{arguments.models}/llava")
    scorer = ClipScorer.load(f"{arguments.models}/clip", None)
    accuracy = caption_accuracy(captioner, arguments.pictures, arguments.seed)
    ranking = clip_ranking(scorer, arguments.pictures, arguments.seed)
    print(json.dumps({"captioner": asdict(accuracy), "clip": asdict(ranking)}, indent=1))


if __name__ == "__main__":
    main()
