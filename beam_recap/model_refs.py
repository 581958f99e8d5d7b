"""Which model files a config means, and the names they go by in the output. Loads nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from beam_recap import ocr
from beam_recap.config import RecapConfig
from beam_recap.schemas import Provenance


@dataclass(frozen=True, slots=True)
class ModelRefs:
    """Paths or names to load, None where a model is off."""

    clip: str | None
    clip_pretrained: str | None
    aesthetic_head: str | None
    captioner: str | None
    provenance: Provenance

    @classmethod
    def of(cls, config: RecapConfig) -> ModelRefs:
        head = config.model_path("aesthetic_weights")
        return cls(
            clip=config.model_path("clip_model"),
            clip_pretrained=config.clip_pretrained,
            aesthetic_head=head,
            captioner=config.model_path("captioner"),
            provenance=Provenance(
                clip_model=_clip_name(config),
                aesthetic_model=None if head is None else _file_name(head),
                ocr_engine=None if config.ocr is None else ocr.engine_id(ocr_settings(config)),
                captioner=_captioner_name(config),
                config_digest=config.digest(),
            ),
        )


def ocr_settings(config: RecapConfig) -> ocr.OCRSettings:
    """Counting boxes needs every one read; where any text is too much, reading stops at the first."""
    return ocr.OCRSettings(full_text=config.max_ocr_boxes != 0)


def _clip_name(config: RecapConfig) -> str | None:
    if config.clip_model is None or config.clip_pretrained is None:
        return _folder_name(config.clip_model)
    return f"{config.clip_model}/{config.clip_pretrained}"


def _captioner_name(config: RecapConfig) -> str | None:
    if config.caption_endpoint is not None:
        return f"{config.caption_endpoint_model} at {config.caption_endpoint}"
    return _folder_name(config.captioner)


def _folder_name(model: str | None) -> str | None:
    return Path(model).resolve().name if model is not None and Path(model).is_dir() else model


def _file_name(path: str) -> str:
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return f"{Path(path).name}@{digest[:12]}"
