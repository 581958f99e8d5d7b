"""Whether the flags of a config go together."""

from __future__ import annotations

from typing import Any

from beam_recap.flag import DEMO, ConfigError
from beam_recap.model_checks import check_captioner, check_clip, check_head, column_part

RecapConfig = Any  # `beam_recap.config` imports this module


def check_together(config: RecapConfig) -> None:
    """Raises `ConfigError` for flags that are at odds with one another, or a model that cannot be one."""
    if config.allow_local_files and any("://" in pattern for pattern in config.input):
        remedy = "is for local input only: rows of a remote table must not name files of this machine; leave it out"
        raise ConfigError("allow_local_files", "true", remedy)
    _check_clip(config)
    _check_aesthetic(config)
    _check_curation(config)
    if config.slice is not None and not config.keep_checkpoint:
        remedy = "would remove what other slices have done; leave it out until the run without --slice"
        raise ConfigError("keep_checkpoint", "false", remedy)
    if config.worker_pools == "split" and not config.makes_captions:
        raise ConfigError("worker_pools", "split", "is for captions, of which there are none here; leave it out")
    if config.caption_mix is not None and not config.makes_captions:
        remedy = "mixes original with new captions, of which there are none here; give --captioner, or leave it out"
        raise ConfigError("caption_mix", config.caption_mix, remedy)
    _check_endpoint(config, "caption_endpoint")
    _check_endpoint(config, "judge_endpoint")
    if config.captioner not in (None, DEMO):
        check_captioner(str(config.captioner))
    if config.device not in ("auto", "cpu", "cuda") and not (
        config.device.startswith("cuda:") and config.device[5:].isdigit()
    ):
        raise ConfigError("device", config.device, "is unknown; give auto, cpu, cuda or cuda:N")


def _check_clip(config: RecapConfig) -> None:
    if config.clip_model is not None:
        check_clip("clip_model", config.clip_model, "clip_pretrained", config.clip_pretrained)
    else:
        for name in ("clip_pretrained", "min_clip_score"):
            if (value := getattr(config, name)) is not None:
                raise ConfigError(name, value, f"needs a CLIP model; give --clip_model, or --{name}=none")
    parts: dict[str, str] = {}
    for model in config.more_clip_names:
        if parts.setdefault(column_part(model.shown), model.shown) != model.shown or not column_part(model.shown):
            remedy = f"would have the columns of {parts[column_part(model.shown)]} too; rename one of them"
            raise ConfigError("more_clip_models", model.shown, remedy)


def _check_aesthetic(config: RecapConfig) -> None:
    if config.aesthetic_weights is None and config.min_aesthetic_score is not None:
        remedy = "needs a head; give --aesthetic_weights, or --min_aesthetic_score=none"
        raise ConfigError("min_aesthetic_score", config.min_aesthetic_score, remedy)
    if config.aesthetic_clip_model is not None:
        check_clip(
            "aesthetic_clip_model",
            config.aesthetic_clip_model,
            "aesthetic_clip_pretrained",
            config.aesthetic_clip_pretrained,
        )
    elif config.aesthetic_clip_pretrained is not None:
        remedy = "needs a model; give --aesthetic_clip_model"
        raise ConfigError("aesthetic_clip_pretrained", config.aesthetic_clip_pretrained, remedy)
    if config.aesthetic_weights is None:
        return
    clip = config.aesthetic_clip_model or config.clip_model
    if clip is None:
        remedy = "needs a CLIP model; give --clip_model, or --aesthetic_weights=none"
        raise ConfigError("aesthetic_weights", config.aesthetic_weights, remedy)
    if config.aesthetic_weights == DEMO and clip != DEMO:
        remedy = "fits only the demonstration's CLIP; give the path of the head for your --clip_model, or none"
        raise ConfigError("aesthetic_weights", DEMO, remedy)
    if config.aesthetic_weights != DEMO:
        check_head(config.aesthetic_weights)


def _check_curation(config: RecapConfig) -> None:
    if config.clip_model is None:
        for name in ("clusters", "near_duplicate_similarity"):
            if (value := getattr(config, name)) is not None:
                raise ConfigError(name, value, f"needs embeddings; give --clip_model, or --{name}=none")
        if config.save_embeddings:
            raise ConfigError("save_embeddings", "true", "needs embeddings; give --clip_model, or leave it out")
    needs = {"aesthetic": "clip"} if config.aesthetic_clip_model is None else {}
    for stage, earlier in needs.items():
        if config.filter_order.index(stage) < config.filter_order.index(earlier):
            remedy = f"has {stage} before {earlier}, whose embeddings it reads; swap them, or give "
            raise ConfigError("filter_order", ",".join(config.filter_order), remedy + "--aesthetic_clip_model")


def _check_endpoint(config: RecapConfig, flag: str) -> None:
    url, model = getattr(config, flag), getattr(config, f"{flag}_model")
    if url is not None and model is None:
        raise ConfigError(flag, url, f"needs the name of a model at that server; give --{flag}_model")
    for name in (f"{flag}_model", f"{flag}_key"):
        if url is None and (value := getattr(config, name)) is not None:
            raise ConfigError(name, value, f"needs a server; give its URL with --{flag}, or leave this out")
