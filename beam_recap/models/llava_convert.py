"""Converts a checkpoint in the original LLaVA layout to a folder that :class:`Captioner` loads.

Offline, shard by shard, and strict: everything is compared with the model that transformers would build, before
anything is written.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beam_recap.models import llava_layout as layout
from beam_recap.models.llava_layout import OriginalSettings, UnfitError
from beam_recap.models.llava_plan import by_new_name, plan, require_equal
from beam_recap.models.llava_processor import answer_ends, image_processor, load_tokenizer, make_processor
from beam_recap.models.llava_weights import SHARD_BYTES, list_tensors, read_json, write_shards
from beam_recap.models.runtime import quiet_transformers

# Rows of the vocabulary come in multiples of this: matrix units work on such tiles, and such a matrix can be split
# among devices.
_ROWS = 64


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written."""

    tensors: int
    nbytes: int
    dtypes: tuple[str, ...]
    rows: tuple[int, int]  # of the vocabulary, before and after
    image_token_id: int
    pad_token: str
    pad_token_id: int
    end_tokens: tuple[str, ...]
    tower: str  # where the vision tower's weights came from


@dataclass(frozen=True, slots=True)
class _Tower:
    settings: dict[str, Any]
    published: dict[str, Any]  # its preprocessor_config.json, {} where there is none
    source: str


def convert(
    source: Path,
    target: Path,
    vision_tower: Path | None = None,
    dtype: str = "keep",
    shard_bytes: int = SHARD_BYTES,
) -> Conversion:
    """Writes ``target``, whole or not at all.

    Args:
      source: a folder in the original layout.
      target: where the folder goes; it must not exist, or be empty.
      vision_tower: a CLIP in Hugging Face's layout, for a checkpoint that was saved without its frozen tower.
      dtype: of the tensors that are written, one of `layout.DTYPES`; ``"keep"``: each as it is.
      shard_bytes: largest weights file, and about the most memory that is used; a larger tensor has its own.

    Raises:
      ValueError: a folder that does not fit, in one sentence that names its flag.
    """
    quiet_transformers()
    with _naming("output", target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UnfitError("it exists already; give another name")
    with _naming("input", source):
        raw = read_json(source / "config.json")
        settings = OriginalSettings.of(raw)
        generation_file = source / "generation_config.json"
        generation = read_json(generation_file) if generation_file.is_file() else {}
        stored, renamed = list_tensors(source), layout.converted_name
        has_tower = any(layout.is_of_tower(renamed(tensor.name) or "") for tensor in stored)
    tower = _find_tower(source, settings, vision_tower, has_tower)
    with _naming("input", source):
        tokenizer = load_tokenizer(source)
        ends = answer_ends(tokenizer, raw, generation)
        found = by_new_name(stored, renamed)
    if not has_tower and vision_tower is not None:
        with _naming("vision_tower", vision_tower):
            found |= by_new_name(list_tensors(vision_tower), layout.converted_tower_name)
    with _naming("input", source):
        config = _config(settings, tower, tokenizer, ends)
        if config.tie_word_embeddings and layout.OUTPUT_LAYER in found:
            require_equal(found.pop(layout.OUTPUT_LAYER), found.get(layout.EMBEDDINGS))
        planned = plan(settings, config, found, f"--input={source}", dtype)
        old_rows = settings.text["vocab_size"]
        config.dtype = next(tensor.dtype for tensor in planned if tensor.name == layout.EMBEDDINGS)
    flag, folder = ("input", source) if vision_tower is None else ("vision_tower", vision_tower)
    with _naming(flag, folder):
        images = image_processor(settings, tower.settings, tower.published)
    with _naming("input", source):
        processor = make_processor(settings, tower.settings, images, tokenizer)
    nbytes = sum(tensor.nbytes for tensor in planned)
    with _naming("output", target), _unfinished(target, nbytes) as work:
        _write_settings(work, config, processor, ends)
        write_shards(work, planned, shard_bytes)
    return Conversion(
        tensors=len(planned),
        nbytes=nbytes,
        dtypes=tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in planned})),
        rows=(old_rows, config.text_config.vocab_size),
        image_token_id=config.image_token_index,
        pad_token=tokenizer.pad_token,
        pad_token_id=tokenizer.pad_token_id,
        end_tokens=tuple(tokenizer.convert_ids_to_tokens(ends)),
        tower=tower.source,
    )


@contextmanager
def _naming(flag: str, folder: Path) -> Iterator[None]:
    """Puts the flag before what is wrong with its folder."""
    try:
        yield
    except (UnfitError, OSError) as error:
        raise ValueError(f"--{flag}={folder}: {str(error).rstrip('.')}.") from error


def _find_tower(source: Path, settings: OriginalSettings, folder: Path | None, has_weights: bool) -> _Tower:
    if folder is None:
        with _naming("input", source):
            known = layout.OPENAI_TOWERS.get(settings.tower_name)
            if not has_weights or known is None:
                what = "the shape of its vision tower" if has_weights else "its frozen vision tower"
                raise UnfitError(
                    f"it does not hold {what}, {settings.tower} (mm_vision_tower); download that model and give its "
                    "folder as --vision_tower=FOLDER"
                )
            settings.check_tower(known)
        return _Tower(known, {}, "the checkpoint")
    with _naming("vision_tower", folder):
        found = layout.tower_settings(read_json(folder / "config.json"))
        settings.check_tower(found)
        preprocessor = folder / "preprocessor_config.json"
        published = read_json(preprocessor) if preprocessor.is_file() else {}
    if settings.tower_was_trained and not has_weights:
        raise ValueError(
            f"--input={source}: its vision tower was trained too (unfreeze_mm_vision_tower), but its weights are not "
            "in the folder; the tower it started from cannot stand for it."
        )
    return _Tower(found, published, "the checkpoint" if has_weights else str(folder))


def _config(settings: OriginalSettings, tower: _Tower, tokenizer: Any, ends: list[int]) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    try:
        text = LlamaConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=ends if len(ends) > 1 else ends[0],
            pad_token_id=tokenizer.pad_token_id,
            **settings.text,
        )
        vision = CLIPVisionConfig(**tower.settings)
        patches = (vision.image_size // vision.patch_size) ** 2
        config = LlavaConfig(
            text_config=text,
            vision_config=vision,
            architectures=["LlavaForConditionalGeneration"],
            image_token_index=tokenizer.image_token_id,
            image_seq_length=patches + (settings.feature_strategy == "full"),
            projector_hidden_act=settings.projector_activation,
            multimodal_projector_bias=True,
            vision_feature_layer=settings.feature_layer,
            vision_feature_select_strategy=settings.feature_strategy,
            tie_word_embeddings=text.tie_word_embeddings,
        )
        # The ids of new tokens lie behind the last row.
        rows = max(text.vocab_size, len(tokenizer), max(tokenizer.get_vocab().values()) + 1)
        if rows > text.vocab_size:
            text.vocab_size = -(-rows // _ROWS) * _ROWS
    except Exception as error:  # the checks of transformers' configs have no common type
        raise UnfitError(f"its config.json makes no model ({' '.join(str(error).split())})") from None
    return config


def _write_settings(folder: Path, config: Any, processor: Any, ends: list[int]) -> None:
    from transformers import GenerationConfig

    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    text = config.text_config
    GenerationConfig(
        do_sample=False, bos_token_id=text.bos_token_id, eos_token_id=ends, pad_token_id=text.pad_token_id
    ).save_pretrained(folder)


@contextmanager
def _unfinished(target: Path, nbytes: int) -> Iterator[Path]:
    """A folder beside ``target`` that becomes it at the end, and goes away if there is an error.

    What a killed conversion left is used again: its lock died with it.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.parent / f".{target.name}.unfinished"
    work.mkdir(exist_ok=True)
    lock = os.open(work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnfitError("another conversion is writing it") from None
        for old in work.iterdir():
            old.unlink()
        try:
            free = shutil.disk_usage(work).free
            if free < nbytes:
                raise UnfitError(f"{nbytes / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free")
            yield work
            work.rename(target)  # replaces an empty folder; fails if something came there in the meantime
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    finally:
        os.close(lock)
