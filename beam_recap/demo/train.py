"""Trains the demonstration's models, in about an hour on two CPU cores: ``python -m beam_recap.demo.train``.

LLaVA's own recipe, in small: (0) the vision tower learns what is at each patch, standing in for CLIP pre-training;
(1) projector and decoder learn captions over the frozen tower; (2) everything is tuned together; (3) once more, mostly
on crowded scenes. The tiny CLIP starts from stage 0's tower and learns to tell a right caption from the same caption
with one word wrong, and from spam. :mod:`beam_recap.demo.fit_aesthetic` then fits the aesthetic head.

Training uses no scene that is held out (:func:`beam_recap.demo.scenes.is_held_out`).
"""

from __future__ import annotations

import argparse
import logging
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from beam_recap.demo import tiny_models as tiny
from beam_recap.demo.paths import MODELS
from beam_recap.demo.scenes import (
    BACKGROUNDS,
    COLORS,
    COLUMNS,
    ROWS,
    SHAPES,
    SIZES,
    alt_text,
    describe,
    is_held_out,
    one_word_wrong,
    spam_text,
)
from beam_recap.demo.training import BATCH, Trainer, batches, rates

# LLaVA pads to a square with CLIP's mean colour, open_clip's "longest" with black.
_LLAVA_PAD = tuple(int(255 * m) for m in tiny.PIXEL_MEAN)
_CLIP_PAD = (0, 0, 0)


def train_tower(tower: torch.nn.Module, steps: int, seed: int) -> None:
    """Stage 0: the tower's patches learn shape, colour, size and background where they are."""
    classes = [1 + len(SHAPES), 1 + len(COLORS), 1 + len(SIZES), 1 + len(BACKGROUNDS)]
    head = torch.nn.Sequential(torch.nn.LayerNorm(tiny.WIDTH), torch.nn.Linear(tiny.WIDTH, sum(classes)))
    trainer = Trainer("tower", [([*tower.parameters(), *head.parameters()], 1.0)], weight_decay=0.02)
    for rate, (_, x, y) in batches(seed, _LLAVA_PAD, rates(steps, 2e-3, 100)):
        hidden = tower(x, output_hidden_states=True).hidden_states[-2][:, 1:]
        logits = head(hidden).split(classes, -1)
        covered = y[..., 0] > 0
        losses = [
            F.cross_entropy(part[covered], y[..., i][covered])
            + 0.3 * F.cross_entropy(part.flatten(0, 1), y[..., i].flatten())
            for i, part in enumerate(logits)
        ]
        trainer.step(torch.stack(losses).sum(), rate)


def train_captions(
    model: Any,
    processor: Any,
    steps: int,
    seed: int,
    *,
    peak_rate: float,
    tower_share: float,
    name: str,
    object_weights: Sequence[float] = (1, 2, 1),
) -> None:
    """Stages 1 to 3: next-token prediction of the caption after the prompt. ``tower_share`` 0 freezes the tower."""
    tokenizer, prompt = processor.tokenizer, tiny.prompt_ids(processor)
    tower = list(model.model.vision_tower.parameters())
    of_tower = {id(p) for p in tower}
    rest = [p for p in model.parameters() if id(p) not in of_tower]
    model.model.vision_tower.requires_grad_(tower_share > 0)
    trainer = Trainer(name, [(rest, 1.0), (tower, tower_share)], weight_decay=0.02)
    model.train()
    for rate, (scenes, x, _) in batches(seed, _LLAVA_PAD, rates(steps, peak_rate, 150), object_weights):
        captions = [
            tokenizer(describe(scene), add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
            for scene in scenes
        ]
        longest = max(map(len, captions))
        ids = torch.tensor([prompt + c + [tokenizer.pad_token_id] * (longest - len(c)) for c in captions])
        labels = torch.tensor([c + [-100] * (longest - len(c)) for c in captions])
        # Attention is causal, so padding on the right is harmless here.
        output = model(input_ids=ids, pixel_values=x, logits_to_keep=longest + 1, use_cache=False)
        logits = output.logits[:, :-1]
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-100)
        trainer.step(loss, rate)
    model.eval()


def train_llava(
    folder: Path, steps: tuple[int, int, int, int], seed: int, start_clip: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    """All four stages; the last starts from the folder that the third wrote (in float16).

    ``start_clip`` is called with the tower after stage 0.
    """
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(seed)
    model, processor = tiny.build_llava()
    if any(steps[:3]):
        train_tower(model.model.vision_tower, steps[0], seed)
        start_clip({name: tensor.clone() for name, tensor in model.model.vision_tower.state_dict().items()})
        train_captions(model, processor, steps[1], seed + 1, peak_rate=2e-3, tower_share=0.0, name="align")
        train_captions(model, processor, steps[2], seed + 2, peak_rate=8e-4, tower_share=0.6, name="tune")
        model.half().save_pretrained(folder)
        processor.save_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    weights = (1, 1, 3)  # three objects are where mistakes are left
    train_captions(
        model, processor, steps[3], seed + 3, peak_rate=6e-4, tower_share=1.0, name="polish", object_weights=weights
    )
    model.half().save_pretrained(folder)


def train_clip(folder: Path, tower: dict[str, torch.Tensor], steps: tuple[int, int], seed: int) -> None:
    """Contrastive training in two cycles; the second starts from the folder that the first wrote.

    Beside each right text the batch holds texts with one word wrong, and spam. The first cycle draws the wrong word
    from all; the second adds one of what the first leaves weakest, places and sizes, and lets the tower move more.
    """
    from safetensors.torch import load_file

    logging.basicConfig(level=logging.INFO, format="%(message)s")  # this runs in a process of its own
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = tiny.make_clip_tokenizer()
    model, config = tiny.build_clip(tokenizer)
    if steps[0]:
        tiny.copy_tower_to_clip(tower, model.visual)
        _clip_cycle(model, tokenizer, steps[0], seed, peak_rate=1e-3, tower_share=0.3, kinds=((),))
        tiny.save_clip(folder, model, config, tokenizer)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    kinds = ((), (SIZES, ROWS, COLUMNS))
    _clip_cycle(model, tokenizer, steps[1], seed + 1, peak_rate=8e-4, tower_share=0.6, kinds=kinds)
    tiny.save_clip(folder, model, config, tokenizer)


def _clip_cycle(
    model: Any,
    tokenizer: Any,
    steps: int,
    seed: int,
    *,
    peak_rate: float,
    tower_share: float,
    kinds: tuple[tuple[Any, ...], ...],
) -> None:
    """One cycle. ``kinds`` asks for a wrong text each, of these kinds of words (empty: of any)."""
    rng = random.Random(seed)
    visual = list(model.visual.parameters())
    of_visual = {id(p) for p in visual}
    rest = [p for p in model.parameters() if id(p) not in of_visual]
    trainer = Trainer("clip", [(rest, 1.0), (visual, tower_share)], weight_decay=0.05)
    model.train()
    for rate, (scenes, x, _) in batches(seed, _CLIP_PAD, rates(steps, peak_rate, 100)):
        right = [describe(s) if rng.random() < 0.75 else alt_text(s, rng) for s in scenes]
        wrong = [_wrong_text(text, rng, kind) for kind in kinds for text in right]
        texts = right + wrong + [spam_text(rng) for _ in range(BATCH // 2)]
        ids = tokenizer(
            texts, return_tensors="pt", max_length=tiny.CONTEXT_LENGTH, padding="max_length", truncation=True
        ).input_ids
        image_features = model.encode_image(x, normalize=True)
        text_features = model.encode_text(ids, normalize=True)
        logits = model.logit_scale.exp() * image_features @ text_features.T
        target = torch.arange(BATCH)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :BATCH].T, target)) / 2
        trainer.step(loss, rate)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
    model.eval()


def _wrong_text(text: str, rng: random.Random, kind: tuple[Any, ...]) -> str:
    """The text with one word wrong; never a held-out caption, which must not be seen even as a wrong one."""
    while True:
        try:
            wrong = one_word_wrong(text, rng, kind) if kind else one_word_wrong(text, rng)
        except ValueError:  # an alt-text may have no word of this kind
            wrong = ""
        if wrong and not is_held_out(wrong):
            return wrong
        kind = ()  # the only other word of a kind may make a held-out caption: then any kind will do


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=MODELS, help="where the model folders go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--llava_steps", type=int, nargs=4, default=(2500, 1500, 1200, 1000), help="stages 0 to 3")
    parser.add_argument(
        "--clip_steps", type=int, nargs=2, default=(1600, 1000), help="cycles 1 and 2; 0 skips the first"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # for models this small a second thread gains nothing; a second process does
    clip: list[Any] = []

    def start_clip(tower: dict[str, torch.Tensor]) -> None:
        settings = (arguments.output / "clip", tower, tuple(arguments.clip_steps), arguments.seed)
        clip.append(torch.multiprocessing.get_context("spawn").Process(target=train_clip, args=settings))
        clip[0].start()

    train_llava(arguments.output / "llava", tuple(arguments.llava_steps), arguments.seed, start_clip)
    clip[0].join()
    if clip[0].exitcode:
        raise SystemExit(f"training the tiny CLIP failed with exit status {clip[0].exitcode}")


if __name__ == "__main__":
    main()
