"""Words that flags, settings and engines share."""

from __future__ import annotations

# As in img2dataset 1.47 (`resize_mode`).
RESIZE_MODES = ("keep_ratio_largest", "keep_ratio", "center_crop", "border", "no")

IMAGE_FORMATS = ("jpeg", "png", "webp", "gif", "avif")

# Of the X-Robots-Tag header: img2dataset's four and noml (https://noml.info). tdm-reservation is a header of its own
# (W3C TDM Reservation Protocol).
OPT_OUT_DIRECTIVES = ("noai", "noimageai", "noindex", "noimageindex", "noml", "tdm-reservation")

DEFAULT_AGENT = "beam-recap"
DEFAULT_CONTACT = "https://github.com/beam-recap/beam-recap"

# What can be wrong with a new caption as its text alone tells (`caption_quality`).
CAPTION_FLAWS = ("repetition", "refusal", "prompt_echo", "truncated", "unseen_quotes")

# What the rows of ``data/`` look like (`schemas`): a preset's own, or another published dataset's.
SCHEMAS = ("recap", "recap-v2", "text-debiased", "recap-debiased", "recap-coco-30k", "datacomp")

# Files of CLIP weights in OpenAI's or LongCLIP's layout, which need no folder around them.
CLIP_FILES = (".pt", ".pth", ".safetensors")
