"""Which model files a config means, and the names they go by in the output. Loads nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from beam_recap import ocr
from beam_recap.config import FILES_OF, RecapConfig
from beam_recap.flag import ConfigError
from beam_recap.model_checks import ClipName
from beam_recap.model_files import MAX_HEAD_BYTES, ModelFilesError, local_copy, pinned, unpinned
from beam_recap.schemas import Provenance


@dataclass(frozen=True, slots=True)
class ModelRefs:
    """Paths or names to load, None where a model is off. Remote paths are `pinned` to the files they mean now."""

    clip: str | None
    clip_pretrained: str | None
    more_clips: tuple[ClipName, ...]
    aesthetic_head: str | None
    aesthetic_clip: ClipName | None
    captioner: str | None
    provenance: Provenance

    @classmethod
    def of(cls, config: RecapConfig) -> ModelRefs:
        head = _to_load(config, "aesthetic_weights")
        return cls(
            clip=_to_load(config, "clip_model"),
            clip_pretrained=config.clip_pretrained,
            more_clips=_more_clips(config),
            aesthetic_head=head,
            aesthetic_clip=_aesthetic_clip(config),
            captioner=_to_load(config, "captioner"),
            provenance=Provenance(
                clip_model=_clip_name(config),
                aesthetic_model=None if head is None else _file_name(head),
                ocr_engine=None if config.ocr is None else ocr.engine_id(ocr_settings(config)),
                captioner=_captioner_name(config),
                config_digest=config.digest(),
                more_clip_models=tuple(name.shown for name in config.more_clip_names),
            ),
        )


def ocr_settings(config: RecapConfig) -> ocr.OCRSettings:
    """Counting boxes needs every one read; where any text is too much, reading stops at the first."""
    return ocr.OCRSettings(full_text=config.max_ocr_boxes != 0)


def _to_load(config: RecapConfig, flag: str) -> str | None:
    path = config.model_path(flag)
    return None if path is None else pinned(path, config.identity()[f"{flag}{FILES_OF}"])


def _more_clips(config: RecapConfig) -> tuple[ClipName, ...]:
    fingerprints = config.identity()[f"more_clip_models{FILES_OF}"]
    return tuple(
        name._replace(model=pinned(name.model, files))
        for name, files in zip(config.more_clip_names, fingerprints, strict=True)
    )


def _aesthetic_clip(config: RecapConfig) -> ClipName | None:
    model = _to_load(config, "aesthetic_clip_model")
    return None if model is None else ClipName(model, config.aesthetic_clip_pretrained)


def _clip_name(config: RecapConfig) -> str | None:
    if config.clip_model is None or config.clip_pretrained is None:
        return _folder_name(config.clip_model)
    return f"{config.clip_model}/{config.clip_pretrained}"


def _captioner_name(config: RecapConfig) -> str | None:
    if config.caption_endpoint is not None:
        return f"{config.caption_endpoint_model} at {config.caption_endpoint}"
    return _folder_name(config.captioner)


def _folder_name(model: str | None) -> str | None:
    if model is None:
        return None
    return Path(model).resolve().name if Path(model).is_dir() else unpinned(model)


def _file_name(path: str) -> str:
    """A head's file name and the start of its digest; a remote one is copied here for that."""
    try:
        copy = local_copy(path, "aesthetic_weights", max_bytes=MAX_HEAD_BYTES)
    except ModelFilesError as error:
        value = unpinned(path)
        raise ConfigError(
            "aesthetic_weights", value, str(error).removeprefix(f"--aesthetic_weights={value}: ")
        ) from error
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    return f"{copy.name}@{digest[:12]}"
