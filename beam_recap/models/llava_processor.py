"""Tokenizer, chat template and image processor of a converted LLaVA, from the original's files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beam_recap.models.captioner_prompt import render_prompt
from beam_recap.models.llava_layout import OriginalSettings, UnfitError, end_ids
from beam_recap.models.llava_weights import first_line, read_json

IMAGE, PAD = "<image>", "<pad>"
# LLaMA-3 ends a turn with the second; its base checkpoints know the first only, and answers end with either.
_ENDS = ("<|end_of_text|>", "<|eot_id|>")
# Later ones need a newer protobuf than Apache Beam allows.
_SENTENCEPIECE = "pip install 'sentencepiece<0.2.3'"
_WORDS = "WORDS"  # stands for the prompt while its surroundings are looked up
# What a tokenizer_config.json may decide. Its classes, code and chat template (without pictures) are left behind.
_SETTINGS = (
    *("bos_token", "eos_token", "unk_token", "pad_token", "additional_special_tokens", "extra_special_tokens"),
    *("added_tokens_decoder", "add_bos_token", "add_eos_token", "add_prefix_space", "legacy"),
    *("model_max_length", "clean_up_tokenization_spaces"),
)
_MAX_TOKENIZER_BYTES = 256 * 2**20


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer with ``<image>`` as a special token, and ``<pad>`` where it has no padding token.

    A token that is there already keeps its id; new ones follow the last.

    Raises:
      UnfitError: no tokenizer that can be read without running its code.
    """
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    source = _load_source_tokenizer(folder)
    backend = source.backend_tokenizer
    backend.no_truncation()  # a prompt that is cut, or filled up, fits no picture
    backend.no_padding()
    tokens = {name: getattr(source, name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    new = [IMAGE] if tokens["pad_token"] else [IMAGE, PAD]
    # Not normalised: no rule for plain text (a space before it, lower case) may change how they are found.
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in new])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{name: token for name, token in {**tokens, "pad_token": tokens["pad_token"] or PAD}.items() if token},
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        clean_up_tokenization_spaces=source.clean_up_tokenization_spaces,
        model_max_length=source.model_max_length,
    )


def _load_source_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    settings_file = folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.is_file() else {}
    is_whole = (folder / "tokenizer.json").is_file()
    name = "tokenizer.json" if is_whole else "tokenizer.model"
    if not (folder / name).is_file():
        raise UnfitError("there is neither tokenizer.json nor tokenizer.model")
    remedy = f"{_SENTENCEPIECE}, or put the same tokenizer's tokenizer.json beside it"
    if not is_whole and find_spec("sentencepiece") is None:
        raise UnfitError(f"its tokenizer.model needs another package: {remedy}")
    with tempfile.TemporaryDirectory() as clean:
        for file in (name, "special_tokens_map.json", "added_tokens.json"):
            if (folder / file).is_file():
                if (folder / file).stat().st_size > _MAX_TOKENIZER_BYTES:
                    raise UnfitError(f"{file} is larger than {_MAX_TOKENIZER_BYTES} bytes")
                shutil.copyfile(folder / file, Path(clean) / file)
        kept = {key: settings[key] for key in _SETTINGS if settings.get(key) is not None}
        (Path(clean) / settings_file.name).write_text(json.dumps(kept))
        # The original's model type means nothing to transformers; its tokenizer is LLaMA's.
        (Path(clean) / "config.json").write_text(json.dumps({"model_type": "llama"}))
        loader = PreTrainedTokenizerFast if is_whole else AutoTokenizer
        try:
            return loader.from_pretrained(clean, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            # Of a tokenizer.model only the last of several attempts would be told, which is another format's.
            why = first_line(error) if is_whole else f"if it is whole, {remedy}"
            raise UnfitError(f"{name} is not readable ({why})") from None


def answer_ends(tokenizer: Any, *configs: Mapping[str, Any]) -> list[int]:
    """Ids of the tokens that end an answer: the tokenizer's, LLaMA-3's two, and those of ``configs``.

    The last only where they are special tokens: a config that was never adapted may name the id of a word.

    Raises:
      UnfitError: there is none.
    """
    vocabulary = tokenizer.get_vocab()
    ids = {tokenizer.eos_token_id, *(vocabulary.get(token) for token in _ENDS)} - {None}
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids |= {i for config in configs for i in end_ids(config) if i in special}
    if not ids:
        raise UnfitError("its tokenizer names no token that ends an answer (eos_token)")
    return sorted(ids)


def image_processor(settings: OriginalSettings, tower: Mapping[str, Any], published: Mapping[str, Any]) -> Any:
    """How pictures become the tower's pixels: CLIP's way, after padding to a square where the model was trained so.

    Args:
      settings: the original's.
      tower: the tower's, from `tower_settings`.
      published: the tower's ``preprocessor_config.json``; empty where there is none: CLIP's published values.

    Raises:
      UnfitError: values out of range, or pictures of another size than the tower's.
    """
    from transformers import LlavaImageProcessor
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling

    side = tower["image_size"]
    for name in ("size", "crop_size"):
        given = published.get(name, side)
        sides = set(given.values()) if isinstance(given, dict) else {given}
        if sides != {side}:
            raise UnfitError(f"the {name} in its preprocessor_config.json is {given!r}, but its image_size is {side}")
    mean, std = published.get("image_mean", OPENAI_CLIP_MEAN), published.get("image_std", OPENAI_CLIP_STD)
    for name, value in (("image_mean", mean), ("image_std", std)):
        if not (
            isinstance(value, list)
            and len(value) == 3
            and all(isinstance(v, int | float) and 0 <= v <= 1 for v in value)
            and (name == "image_mean" or all(value))
        ):
            raise UnfitError(f"the {name} in its preprocessor_config.json is {value!r}, not three numbers up to 1")
    resample = published.get("resample", PILImageResampling.BICUBIC.value)
    if resample not in [filter_.value for filter_ in PILImageResampling]:
        raise UnfitError(f"the resample in its preprocessor_config.json is {resample!r}, which is no filter")
    square = {"height": side, "width": side}
    # The padding's colour is the processor's own: its mean colour, as the original's.
    return LlavaImageProcessor(
        do_pad=settings.pads_to_square,
        size=square if settings.pads_to_square else {"shortest_edge": side},
        do_center_crop=not settings.pads_to_square,
        crop_size=square,
        resample=resample,
        image_mean=list(mean),
        image_std=list(std),
    )


def make_processor(settings: OriginalSettings, tower: Mapping[str, Any], images: Any, tokenizer: Any) -> Any:
    """The whole processor; its chat template has the form that a captioner gives a checkpoint without one.

    Raises:
      UnfitError: prompts that cannot be rendered with this tokenizer.
    """
    from transformers import LlavaProcessor

    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=tower["patch_size"],
        vision_feature_select_strategy=settings.feature_strategy,
        num_additional_image_tokens=1,  # CLIP's class token, which the "default" strategy then drops
    )
    try:
        form = render_prompt(processor, _WORDS).text
        processor.chat_template = _chat_template(form, tokenizer.bos_token or "")
        if render_prompt(processor, _WORDS).text != form:
            raise ValueError(f"the chat template does not give {form!r}")
    except ValueError as error:
        raise UnfitError(f"its tokenizer fits no prompt with a picture ({first_line(error)})") from None
    return processor


def _chat_template(form: str, begin: str) -> str:
    """A template for one question about one picture, from an example of it."""
    before, _, rest = form.removeprefix(begin).partition(IMAGE)
    between, _, after = rest.partition(_WORDS)
    return (
        ("{{ bos_token }}" if begin else "") + "{% for message in messages %}"
        "{% if message['role'] != 'user' or not loop.first %}"
        "{{ raise_exception('This model was made for one message of the user.') }}{% endif %}"
        f"{{{{ {json.dumps(before)} }}}}"
        "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        f"{{{{ {json.dumps(IMAGE + between)} }}}}{{% endif %}}{{% endfor %}}"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] | trim }}{% endif %}"
        "{% endfor %}{% endif %}"
        f"{{% if add_generation_prompt %}}{{{{ {json.dumps(after)} }}}}{{% endif %}}{{% endfor %}}"
    )
