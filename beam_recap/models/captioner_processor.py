"""A captioner's processor: as its checkpoint has it, with what older checkpoints leave unsaid."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from beam_recap.models.captions import check_image

if TYPE_CHECKING:
    from PIL import Image

_LOG = logging.getLogger(__name__)

# Vision towers that put a class token before their patches, and towers that do not.
_CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0}
_PADDING = "beam_recap_padding"  # an attribute of processors: the colour of margins that we add


def load_processor(location: str, shown: str, arguments: Mapping[str, Any], config: Any) -> Any:
    """A checkpoint's processor, complete.

    Args:
      location: its folder, or its id on the Hugging Face hub.
      shown: what the user calls it.
      arguments: of ``from_pretrained``.
      config: of its model.

    Raises:
      ValueError: there is none that is whole.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(location, **arguments)
    except (OSError, ValueError) as error:
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"--captioner={shown}: no readable processor ({first_line}).") from error
    for part in ("image_processor", "tokenizer"):
        if getattr(processor, part, None) is None:
            raise ValueError(f"--captioner={shown}: its processor has no {part}; copy it from the base model.")
    # Where prompts differ in length they are padded on the side away from the caption.
    processor.tokenizer.padding_side = "left"
    _complete(processor, config)
    if config.model_type == "llava" and config.vision_config.model_type == "clip_vision_model":
        _pad_as_trained(processor, location, shown, arguments)
    return processor


def make_picture(processor: Any, image: np.ndarray) -> Image.Image:
    """A picture as a captioner's processor is to get it: RGB, and a square where it would crop one by mistake.

    As a PIL image: of an array of three rows a processor could not tell which dimension holds the colours.

    Raises:
      ValueError: not RGB, uint8 ``[H, W, 3]``.
    """
    from PIL import Image

    check_image(image)
    colour = getattr(processor, _PADDING, None)
    return Image.fromarray(image if colour is None else _square(image, colour))


def _complete(processor: Any, config: Any) -> None:
    """Makes a LLaVA processor put as many image tokens into the prompt as the model makes image features.

    Older checkpoints lack these three settings: without the first the processor fails at its first picture, and with
    the default of the last every picture is one token short.
    """
    if not hasattr(processor, "num_additional_image_tokens") or not hasattr(config, "vision_feature_select_strategy"):
        return
    if processor.patch_size is None:
        processor.patch_size = config.vision_config.patch_size
    processor.vision_feature_select_strategy = config.vision_feature_select_strategy
    tower = config.vision_config.model_type
    if tower in _CLASS_TOKENS:
        processor.num_additional_image_tokens = _CLASS_TOKENS[tower]


def _pad_as_trained(processor: Any, location: str, shown: str, arguments: Mapping[str, Any]) -> None:
    """LLaVA-1.5 was trained on pictures padded to a square with CLIP's mean colour (its ``image_aspect_ratio: pad``).

    The hub's checkpoints in this form are older than the setting ``do_pad``, and without it their processors crop the
    middle: a quarter of a 4:3 picture would not be seen. Where a checkpoint says ``do_pad``, it has the say.
    """
    images = processor.image_processor
    arguments = {name: value for name, value in arguments.items() if name != "trust_remote_code"}
    settings, _ = type(images).get_image_processor_dict(location, **arguments)
    if settings.get("do_pad") is not None:
        return
    # Source of the colour: expand2square in LLaVA's mm_utils.py; (122, 116, 104) for CLIP's means.
    setattr(processor, _PADDING, tuple(int(mean * 255) for mean in images.image_mean))
    _LOG.info(
        "captioner %s does not say how pictures become squares: they are padded, as LLaVA-1.5 learned them", shown
    )


def _square(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    height, width, _ = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.empty((side, side, 3), np.uint8)
    square[:] = colour
    square[top : top + height, left : left + width] = image
    return square
