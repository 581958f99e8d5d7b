"""What the paper says of other datasets and models, for comparison. Source of all: arXiv 2312.14232 v3.

Its OCR is DeepSolo with 37 characters (a to z, 0 to 9), not the one here, and which normalisation its rates had is not
said: all 21 captions of its table 16 parrot by the normalised rate, 20 by the strict one. So these are neighbours, not
measurements by this tool.
"""

from __future__ import annotations

from typing import Any

SOURCE = "arXiv 2312.14232 v3"
THIS_OCR_DIFFERS = "the paper's OCR is DeepSolo (ViTAEv2-S, a-z and 0-9), not the one used here"

# Table 1. Shares of images; mean rates over all captions, and over those of images with text.
DATASETS: tuple[dict[str, Any], ...] = (
    {
        "name": "LAION-2B-en",
        "images": 1_985_284_122,
        "images_with_text": 1_083_896_427,
        "with_text": 0.5460,
        "mean": 0.1542,
        "mean_in_text_images": 0.2824,
        "fuzzy_mean": 0.3046,
        "fuzzy_mean_in_text_images": 0.5579,
        "parrot_in_text_images": 0.612,  # 663,600,432 images "with co-embedded text"
    },
    {
        "name": "MMC4",
        "images": 527_156_206,
        "with_text": 0.5020,
        "mean": 0.0288,
        "mean_in_text_images": 0.1570,
        "fuzzy_mean": 0.0575,
        "fuzzy_mean_in_text_images": 0.3128,
    },
    {
        "name": "CC12M",
        "images": 9_230_079,
        "with_text": 0.3706,
        "mean": 0.0621,
        "mean_in_text_images": 0.1594,
        "fuzzy_mean": 0.1675,
        "fuzzy_mean_in_text_images": 0.4301,
    },
)

# Table 10: the mean (and standard deviation) of the synthetic-text score of ViT-B/32, over the 400,000 most frequent
# n-grams of LAION's captions, in Arial.
MODELS: tuple[dict[str, Any], ...] = (
    {"name": "OpenAI CLIP", "mean": 0.317, "std": 0.0305},
    {"name": "OpenCLIP (LAION-2B)", "mean": 0.368, "std": 0.0427},
    {"name": "DataComp medium", "mean": 0.268, "std": None},
    {"name": "DataComp large", "mean": 0.338, "std": None},
    {"name": "the paper's, on text-debiased data", "mean": 0.163, "std": 0.0659},
)
