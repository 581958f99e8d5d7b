"""How pictures become squares: LLaVA-1.5 was trained on pictures with margins in CLIP's mean colour."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.untrained_models import NEW_TOKENS, noise_images
from transformers import CLIPImageProcessor

from beam_recap.models.captioner_checkpoint import open_checkpoint
from beam_recap.models.captioner_processor import make_picture
from beam_recap.models.load_captioner import load_captioner
from beam_recap.models.slot_captioner import prepare_pixels
from beam_recap.prompts import RECAP_PROMPT

MEAN_COLOUR = (122, 116, 104)
SIDE = 60
WIDE = np.full((30, 120, 3), 250, np.uint8)  # a quarter of the square: 15 rows of 60


def edited(source: Path, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy whose image processor's settings are others."""
    shutil.copytree(source, folder)
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    edit(settings["image_processor"])
    path.write_text(json.dumps(settings))
    return folder


def unsaid(settings: dict[str, Any]) -> None:
    """As the hub's LLaVA-1.5: a crop of the centre, and no word of padding."""
    del settings["do_pad"]
    settings |= {"do_center_crop": True, "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}


def pixels_of(folder: Path, image: np.ndarray) -> tuple[np.ndarray, Any]:
    """What the model sees ``[SIDE, SIDE, 3]``, as colours, and the processor."""
    processor = open_checkpoint(str(folder), None, "cpu", "auto", RECAP_PROMPT).processor
    pixels = prepare_pixels(processor, image)
    images = processor.image_processor
    mean, std = (torch.tensor(values)[:, None, None] for values in (images.image_mean, images.image_std))
    return ((pixels * std + mean) * 255).permute(1, 2, 0).numpy(), processor


@pytest.mark.parametrize("kind", ["said", "unsaid", "unsaid_clip"])
def test_margins_have_the_mean_colour(llava_folder: Path, tmp_path: Path, kind: str) -> None:
    folder = llava_folder
    if kind != "said":
        folder = edited(llava_folder, tmp_path / "llava", unsaid)
    if kind == "unsaid_clip":
        path = folder / "processor_config.json"
        path.write_text(path.read_text().replace("LlavaImageProcessor", "CLIPImageProcessor"))
    colours, processor = pixels_of(folder, WIDE)
    assert isinstance(processor.image_processor, CLIPImageProcessor) == (kind == "unsaid_clip")
    assert colours.shape == (SIDE, SIDE, 3)
    middle = slice(SIDE // 2 - 5, SIDE // 2 + 5)
    np.testing.assert_allclose(colours[middle], 250, atol=1)
    for margin in (colours[:18], colours[-18:]):
        np.testing.assert_allclose(margin, np.broadcast_to(MEAN_COLOUR, margin.shape), atol=1)
    # The whole width is seen: a picture that is bright on its left only is bright on its left only.
    left = WIDE.copy()
    left[:, 60:] = 0
    row = pixels_of(folder, left)[0][SIDE // 2, :, 0]
    assert (row[:26] > 240).all() and (row[34:] < 10).all()


def test_a_checkpoint_that_says_has_the_say(llava_folder: Path, tmp_path: Path) -> None:
    def crop(settings: dict[str, Any]) -> None:
        unsaid(settings)
        settings["do_pad"] = False

    colours, _ = pixels_of(edited(llava_folder, tmp_path / "llava", crop), WIDE)
    np.testing.assert_allclose(colours, 250, atol=1)


def test_both_engines_see_the_same(llava_folder: Path, tmp_path: Path) -> None:
    """Padded by us or by the processor: the same captions, token for token."""
    images = [*noise_images(5), WIDE, WIDE.transpose(1, 0, 2), WIDE[:1], WIDE[:, :1]]
    expected = load_captioner(str(llava_folder), engine="generate", device="cpu", max_new_tokens=NEW_TOKENS)
    folder = edited(llava_folder, tmp_path / "tiny-llava", unsaid)
    for engine in ("generate", "slots"):
        captioner = load_captioner(str(folder), engine=engine, device="cpu", max_new_tokens=NEW_TOKENS)
        assert captioner.caption(images) == expected.caption(images)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (1, 8), (4, 4)])
def test_squares_are_those_of_llava(shape: tuple[int, int]) -> None:
    """Against expand2square of LLaVA's mm_utils.py, written out."""
    from PIL import Image

    class Processor:
        beam_recap_padding = MEAN_COLOUR

    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = Image.fromarray(image)
    width, height = picture.size
    expected = Image.new("RGB", (max(width, height),) * 2, MEAN_COLOUR)
    expected.paste(picture, ((max(width, height) - width) // 2, (max(width, height) - height) // 2))
    assert make_picture(Processor(), image) == expected
