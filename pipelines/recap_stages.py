"""The stages between reading and the checkpoint, as a config asks for them."""

from __future__ import annotations

import apache_beam as beam

from beam_recap.config import RecapConfig
from beam_recap.fetch import FetchSettings
from beam_recap.images import DecodeSettings
from beam_recap.model_checks import ClipName
from beam_recap.model_refs import ModelRefs, ocr_settings
from beam_recap.models.endpoint_settings import EndpointSettings
from transforms.aesthetic_filter import AestheticFilter
from transforms.caption_image import CaptionImage, CaptionModel
from transforms.encode_picture import EncodePicture
from transforms.fetch_image import FetchImage
from transforms.ocr_filter import OCRFilter
from transforms.rate_captions import RateCaptions
from transforms.rescore_caption import RescoreCaption
from transforms.score_clip import ClipModel, ScoreCLIP
from transforms.score_more_clips import ScoreMoreClips

Stages = list[tuple[str, beam.PTransform]]


def stages_of(config: RecapConfig, refs: ModelRefs) -> list[tuple[str, beam.PTransform]]:
    """The stages that the config asks for, cheap before dear."""
    fetch = FetchSettings(
        concurrency=config.fetch_concurrency,
        connections_per_host=config.connections_per_host,
        host_requests_per_s=config.host_requests_per_s,
        timeout_s=config.fetch_timeout_s,
        connect_timeout_s=config.fetch_connect_timeout_s,
        retries=config.fetch_retries,
        max_bytes=config.fetch_max_bytes,
        max_redirects=config.fetch_max_redirects,
        ports=config.fetch_ports,
        allow_private_hosts=config.allow_private_hosts,
        allow_local_files=config.allow_local_files,
        verify_tls=config.verify_tls,
        agent=config.user_agent_token,
        contact=config.contact,
        opt_out_directives=config.disallowed_header_directives,
        obey_robots_txt=config.robots_txt == "obey",
        ahead_rows=config.fetch_ahead_rows,
        ahead_bytes=config.fetch_ahead_bytes,
    )
    decode = DecodeSettings(
        image_size=config.image_size,
        resize_mode=config.resize_mode,
        resize_only_if_bigger=config.resize_only_if_bigger,
        formats=config.image_formats,
        max_pixels=config.max_pixels,
        min_image_size=config.min_image_size,
        max_image_area=config.max_image_area,
        max_aspect_ratio=config.max_aspect_ratio,
        read_exif=config.extra_columns,
    )
    stages: list[tuple[str, beam.PTransform]] = [("FetchImage", FetchImage(fetch, decode))]
    filters = _filters(config, refs)
    stages += [filters[name] for name in config.filter_order if name in filters]
    encode = ("EncodePicture", EncodePicture())
    if config.writes_webdataset and config.worker_pools == "split":
        stages.append(encode)  # what crosses to the second pool is all it will know of the picture
    if config.makes_captions:
        captioner = CaptionModel(
            refs.captioner,
            endpoint=_caption_endpoint(config),
            prompt=config.caption_prompt,
            hint=config.caption_hint,
            max_new_tokens=config.caption_max_new_tokens,
            engine=config.caption_engine,
            batch_size=config.caption_batch_size,
            quantization=config.caption_quantization,
            device=config.device,
            dtype=config.dtype,
            copies=config.captioner_copies,
        )
        stages.append(("CaptionImage", CaptionImage(captioner, config.reject_captions)))
        if refs.clip is not None:
            stages.append(("RescoreCaption", RescoreCaption(_clip(config, ClipName(refs.clip, refs.clip_pretrained)))))
    if refs.more_clips:
        stages.append(("ScoreMoreClips", ScoreMoreClips([_clip(config, name) for name in refs.more_clips])))
    if config.writes_webdataset and config.worker_pools != "split":
        stages.append(encode)
    return stages


def _filters(config: RecapConfig, refs: ModelRefs) -> dict[str, tuple[str, beam.PTransform]]:
    """By their names in --filter_order."""
    filters: dict[str, tuple[str, beam.PTransform]] = {}
    if refs.clip is not None:
        clip = _clip(config, ClipName(refs.clip, refs.clip_pretrained))
        score = ScoreCLIP(clip, min_score=config.min_clip_score, keep_embeddings=config.keeps_embeddings)
        filters["clip"] = ("ScoreCLIP", score)
    if refs.aesthetic_head is not None:
        head = AestheticFilter(
            refs.aesthetic_head,
            min_score=config.min_aesthetic_score,
            version=config.aesthetic_scale,
            clip=None if refs.aesthetic_clip is None else _clip(config, refs.aesthetic_clip),
        )
        filters["aesthetic"] = ("AestheticFilter", head)
    if config.ocr is not None:
        filters["ocr"] = ("OCRFilter", OCRFilter(ocr_settings(config), max_boxes=config.max_ocr_boxes))
    return filters


def _clip(config: RecapConfig, name: ClipName) -> ClipModel:
    return ClipModel(name.model, name.pretrained, config.device, config.clip_batch_size)


def _caption_endpoint(config: RecapConfig) -> EndpointSettings | None:
    if config.caption_endpoint is None or config.caption_endpoint_model is None:
        return None
    return EndpointSettings(
        config.caption_endpoint,
        config.caption_endpoint_model,
        config.caption_endpoint_key,
        config.caption_endpoint_requests,
    )


def judge_of(config: RecapConfig) -> RateCaptions | None:
    """The stage that rates captions, if one is asked for."""
    if config.judge_endpoint is None or config.judge_endpoint_model is None:
        return None
    endpoint = EndpointSettings(config.judge_endpoint, config.judge_endpoint_model, config.judge_endpoint_key)
    return RateCaptions(endpoint, config.judge_sample)
