"""The flags of scores and of the filters on them."""

from __future__ import annotations

from beam_recap.flag import DEMO, PRESET_VALUE, Flag
from beam_recap.flag_values import choice, each_of, integer, listed, number, or_none, text

_COSINE = number(-1, 1, "a CLIP score is a cosine in [-1, 1]: give 0.3 for the usual threshold, or none")
_AESTHETIC = number(1, 10, "aesthetic scores are on a scale of 1 to 10: give 4.5 for the usual threshold (V2), or none")

SCORE_FLAGS: tuple[Flag, ...] = (
    Flag(
        "clip_model",
        "score",
        DEMO,
        or_none(text),
        "open_clip model name (with --clip_pretrained), a folder in open_clip's layout, demo, or none.",
    ),
    Flag(
        "clip_pretrained",
        "score",
        "none",
        or_none(text),
        "open_clip weights tag, for example openai or laion2b_s32b_b82k.",
    ),
    Flag(
        "min_clip_score",
        "score",
        PRESET_VALUE,
        or_none(_COSINE),
        "Keep rows whose image-caption cosine is greater; none: keep all.",
    ),
    Flag("clip_batch_size", "score", "32", integer(1, 4096), "Images per CLIP batch.", False),
    Flag(
        "more_clip_models",
        "score",
        "none",
        listed,
        "Further CLIP models that score both captions, separated by commas: folders, files in OpenAI's or LongCLIP's "
        "layout, or NAME/TAG such as ViT-L-14/openai. Each adds columns with its name.",
    ),
    Flag(
        "aesthetic_weights",
        "score",
        PRESET_VALUE,
        or_none(text),
        "Aesthetic head: path of sac+logos+ava1-l14-linearMSE.pth or the same as .safetensors, demo, or none.",
    ),
    Flag(
        "aesthetic_scale",
        "score",
        "v2",
        choice("v2", "v1"),
        "Scale of the head and of --min_aesthetic_score: v2 (SAC+LOGOS+AVA1) or v1 (sa_0_4_vit_*_linear.pth).",
    ),
    Flag(
        "aesthetic_clip_model",
        "score",
        "none",
        or_none(text),
        "CLIP model whose embeddings the head reads, as --clip_model; none: --clip_model itself.",
    ),
    Flag(
        "aesthetic_clip_pretrained",
        "score",
        "none",
        or_none(text),
        "Its open_clip weights tag, as --clip_pretrained.",
    ),
    Flag(
        "min_aesthetic_score",
        "score",
        PRESET_VALUE,
        or_none(_AESTHETIC),
        "Keep rows whose aesthetic score (on --aesthetic_scale, 1 to 10) is greater; none: keep all.",
    ),
    Flag("ocr", "ocr", PRESET_VALUE, or_none(choice("rapidocr")), "Text spotter: rapidocr or none."),
    Flag(
        "max_ocr_boxes",
        "ocr",
        "0",
        or_none(integer(0, 64)),
        "Keep rows with at most this many text boxes (0: no visible text); none: measure, keep all.",
    ),
    Flag(
        "filter_order",
        "ocr",
        "clip,aesthetic,ocr",
        each_of("clip", "aesthetic", "ocr"),
        "Order of the filters: the cheapest per row that it drops should be first. The kept rows are the same in any.",
    ),
)
