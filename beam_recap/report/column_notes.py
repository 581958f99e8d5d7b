"""One line on each column of ``data/`` and ``rejected/``, for the dataset card."""

from __future__ import annotations

_SIMILARITY = "Cosine similarity, in [-1, 1], of image and original caption, by the run's CLIP model."
_RECAPTION_SIMILARITY = "Cosine similarity, in [-1, 1], of image and new caption, by the run's CLIP model."
_AESTHETIC = "Aesthetic score of the image, by the run's head (V2 scale, 1 to 10)."
_RATING = "Rating from 1 to 5 by the run's judge, in GPT-4V's place; null where nobody rated."
_LICENSE = "What the source says about the picture's licence."
_NSFW = "What the source says about unsafe content; not checked."
_HEIGHT = "Height of the picture, in pixels, from the source where it says so; not img2dataset's, after shrinking."
_WIDTH = "Width of the picture, in pixels, from the source where it says so; not img2dataset's, after shrinking."
_SOURCE_ROW = "Position of the row in its source file."
_KMEANS = "Label of the picture's cluster, from 0; null in runs without --clusters."

COLUMN_NOTES = {
    # Recap-DataComp-1B
    "url": "Where the picture was found.",
    "re_caption": "The new caption, by the run's captioner.",
    "org_caption": "The original caption (alt-text).",
    "sha256": "SHA-256 of the picture's bytes as they came.",
    "key": "Shard and row in img2dataset's form, or the tar's own key; depends on the layout, no identity.",
    "re_clip_score": _RECAPTION_SIMILARITY,
    "org_clip_score": _SIMILARITY,
    "re_length": "Words of the new caption, parted by white space.",
    "org_length": "Words of the original caption, parted by white space.",
    "re_gpt4v_score": _RATING,
    "org_gpt4v_score": _RATING,
    # LAION text-debiased 100M
    "SAMPLE_ID": "The source's own number of the row.",
    "URL": "Where the picture was found.",
    "TEXT": "The original caption (alt-text).",
    "HEIGHT": _HEIGHT,
    "WIDTH": _WIDTH,
    "LICENSE": _LICENSE,
    "NSFW": _NSFW,
    "similarity": _SIMILARITY,
    "ase_scores": _AESTHETIC,
    "kmeans": _KMEANS,
    "__index_level_0__": _SOURCE_ROW,
    # The union of both
    "sample_id": "The source's own number of the row.",
    "source_row": _SOURCE_ROW,
    "height": _HEIGHT,
    "width": _WIDTH,
    "license": _LICENSE,
    "nsfw": _NSFW,
    # Recap-DataComp-1B, condition_diverse_topk
    "re_caption_condition_diverse_topk": "The new caption, if the captioner was shown the original one as a hint.",
    "re_condition_length": "Words of that caption, parted by white space.",
    # Recap-COCO-30K
    "image_id": "The source's own number of the picture.",
    "coco_url": "Where the picture was found.",
    # DataComp
    "text": "The original caption (alt-text).",
    "clip_b32_similarity_score": "Cosine of image and original caption by OpenAI's ViT-B/32; null if it did not run.",
    "clip_l14_similarity_score": "Cosine of image and original caption by OpenAI's ViT-L/14; null if it did not run.",
    "face_bboxes": "Boxes of faces; null, because none are looked for.",
    # Provenance
    "uid": "The source's own id, else a digest of URL and caption.",
    "clip_model": "The CLIP model of the scores.",
    "aesthetic_model": "The head of the aesthetic score.",
    "ocr_engine": "The text spotter.",
    "captioner": "The model of the new caption.",
    "config_digest": "Digest of everything that decides a row's outcome.",
    # --extra_columns=true
    "source_unit": "Source file and range of rows.",
    "source_index": "Position of the row in that range.",
    # ... by the names of img2dataset
    "status": (
        "success, failed_to_download or failed_to_resize, as in img2dataset: of downloading and decoding only, so a "
        "row that a filter rejected is a success. Rows that could not even be read are failed_to_download."
    ),
    "error_message": "Reason and detail where status is no success; else null.",
    "http_status": "HTTP status of the last answer; null if none came, or the picture came with the row.",
    "original_width": "Width of the picture as it came, in pixels, upright (img2dataset's ignores EXIF orientation).",
    "original_height": "Height of the picture as it came, in pixels, upright (img2dataset's ignores EXIF orientation).",
    "exif": "EXIF tags of the picture as it came, a JSON object of names and texts.",
    # ... and by our own
    "image_format": "JPEG, PNG, WEBP or GIF.",
    "clip_score": _SIMILARITY,
    "caption_cut": "Whether the original caption was longer than CLIP's context.",
    "caption_lost": "The share of the original caption's tokens that did not fit, 0 to 1: the score does not know it.",
    "aesthetic_score": _AESTHETIC,
    "ocr_has_text": "Whether visible text was found.",
    "ocr_text": "The visible text, in reading order.",
    "ocr_boxes": "Boxes of visible text.",
    "ocr_confidence": "Highest recognition score of a box, in [0, 1].",
    "ocr_area": "Share of the image under boxes, in [0, 1].",
    "ocr_complete": "False where reading stopped at the first text: text, boxes and area are lower bounds.",
    "co_embedded_text_rate": "Share of the original caption's words that are also visible text, in [0, 1].",
    "co_embedded_text_rate_strict": "The same by the paper's algorithm to the letter: case and punctuation count.",
    "co_embedded_text_rate_fuzzy": "The same where a word may differ from the visible one in every fifth character.",
    "recaption_tokens": "Tokens of the new caption.",
    "recaption_truncated": "Whether the new caption reached the longest length and may end mid-sentence.",
    "recaption_hinted": "Whether the captioner was shown the original caption; null in runs without --caption_hint.",
    "recaption_clip_score": _RECAPTION_SIMILARITY,
    "recaption": "The new caption.",
    "recaption_repetition": "How much of the new caption repeats itself, 0 to 1 (4-grams; Welleck et al. 2019).",
    "recaption_repetitive": "Whether that is half or more, as in loops.",
    "recaption_refusal": "Whether the captioner refused to answer.",
    "recaption_prompt_echo": "Whether the new caption repeats the question.",
    "recaption_unseen_quotes": "Texts that the new caption quotes and OCR did not see, one per line; null where OCR "
    "did not look at the whole picture.",
    "org_preference": "CLIP's preference for the original caption, 0 to 100: a softmax of both cosines.",
    "re_preference": "The same for the new caption; the two sum to 100.",
    "recaption_cut": "Whether the new caption was longer than CLIP's context.",
    "recaption_lost": "The share of the new caption's tokens that did not fit, 0 to 1: the score knows nothing of it.",
    # --caption_mix
    "mixed_caption": "For training: the original caption with the probability that --caption_mix gives, else the new "
    "one, chosen by uid and --caption_mix_seed; where one is null, the other.",
    "mixed_caption_source": "Which of the two it is: original or new.",
    # rejected/
    "caption": "The original caption (alt-text).",
    "stage": "The stage that rejected the row.",
    "reason": "Why, in one word.",
    "detail": "Why, in one line for people.",
}

# ... of further CLIP models, whose names follow.
_MORE_CLIP_NOTES = {
    "clip_score_": "Cosine of image and original caption, in [-1, 1], by",
    "caption_lost_": "Share of the original caption's tokens that did not fit the context of",
    "recaption_clip_score_": "Cosine of image and new caption, in [-1, 1], by",
    "recaption_lost_": "Share of the new caption's tokens that did not fit the context of",
    "re_preference_": "Preference for the new caption over the original one, 0 to 100, of",
}


def note_of(column: str) -> str:
    """One line on a column; empty for one that is not ours."""
    if column in COLUMN_NOTES:
        return COLUMN_NOTES[column]
    for start, note in _MORE_CLIP_NOTES.items():
        if column.startswith(start):
            return f"{note} {column.removeprefix(start)}."
    return ""
