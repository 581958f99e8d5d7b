"""What each preset sets; every value can be overridden by its flag."""

from __future__ import annotations

from typing import Any

from beam_recap.duplicates.settings import DEFAULT_SIMILARITY
from beam_recap.flag import DEMO

# LAION text-debiased 100M: CLIP > 0.3, aesthetic (V2 scale) > 4.5, no visible text. Source: its dataset card.
_DEBIASED_FILTERS = {"min_clip_score": 0.3, "min_aesthetic_score": 4.5, "aesthetic_weights": DEMO, "ocr": "rapidocr"}
# ... and de-duplicated by CLIP features inside a cluster; how near is too near is not published.
_NO_DUPLICATES = {"drop_duplicate_rows": True, "drop_duplicate_images": True}
_DUPLICATES = {"drop_duplicate_rows": False, "drop_duplicate_images": False, "near_duplicate_similarity": None}

PRESET_VALUES: dict[str, dict[str, Any]] = {
    "recap": {
        "min_clip_score": None,
        "min_aesthetic_score": None,
        "aesthetic_weights": None,
        "ocr": None,
        "captioner": DEMO,
        **_DUPLICATES,
    },
    "text-debiased": {
        **_DEBIASED_FILTERS,
        "captioner": None,
        **_NO_DUPLICATES,
        "near_duplicate_similarity": DEFAULT_SIMILARITY,
    },
    # Whose captions have been paid for when duplicates are looked for: only exact ones go.
    "recap-debiased": {**_DEBIASED_FILTERS, "captioner": DEMO, **_NO_DUPLICATES, "near_duplicate_similarity": None},
}
