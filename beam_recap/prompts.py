"""The captioner's prompt.

Source: Recap-DataComp-1B (arXiv 2406.08478, section 3.2), greedy decoding with at most 128 new tokens.
"""

RECAP_PROMPT = "Please generate a detailed caption of this image. Please be as descriptive as possible."
RECAP_MAX_NEW_TOKENS = 128
