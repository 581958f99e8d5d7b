"""Captions as CLIP's tokens, and how much of them does not fit its context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Of a caption, at most this many characters per token of context are read. English needs 4 to 5; open_clip's own
# tokenizer takes time that grows with the square of a word's length, and strangers write the captions.
_CHARACTERS_PER_TOKEN = 32
# open_clip's own tokenizer remembers every word that it has met, for ever.
_MAX_REMEMBERED_WORDS = 100_000
_SPECIAL_TOKENS = 2  # start and end; of OpenAI's 77 tokens 75 are a caption's


class CaptionTokenizer:
    """Wraps one of open_clip's tokenizers (``SimpleTokenizer``, ``HFTokenizer``, ``SigLipTokenizer``)."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._context = int(tokenizer.context_length)
        self._is_simple = hasattr(tokenizer, "sot_token_id")
        if self._is_simple:
            self._empty_cache = dict(tokenizer.cache)  # the special tokens
            # Some training setups drop words at random where a text is too long. To score, it is cut at the end.
            tokenizer.reduction_fn = None

    def __call__(self, captions: Sequence[str]) -> tuple[torch.Tensor, list[float]]:
        """Token ids, int64 ``[B, context]``, and the share of each caption's tokens that did not fit, [0, 1].

        A caption that does not fit is cut at the end and keeps its end token, as open_clip does it. Where a caption is
        too long even to be read to its end, its rest is taken to have as many tokens per character as what was read.
        """
        limit = self._context * _CHARACTERS_PER_TOKEN
        shortened = [caption[:limit] for caption in captions]
        if self._is_simple and len(self._tokenizer.cache) > _MAX_REMEMBERED_WORDS:
            self._tokenizer.cache = dict(self._empty_cache)
        tokens: torch.Tensor = self._tokenizer(shortened)
        counts = self._simple_counts(shortened, tokens) if self._is_simple else self._hf_counts(shortened)
        lost = []
        for caption, count in zip(captions, counts, strict=True):
            unread = len(caption.rstrip()) - limit
            whole = count * (1 + unread / limit) if unread > 0 else count
            kept = min(count, self._context - _SPECIAL_TOKENS)
            lost.append(1 - kept / whole if whole > kept else float(unread > 0))
        return tokens, lost

    def _simple_counts(self, captions: Sequence[str], tokens: torch.Tensor) -> list[int]:
        """Tokens of each whole caption; counted again only where its row is full (0 is padding)."""
        present = (tokens != 0).sum(dim=1).tolist()
        return [
            len(self._tokenizer.encode(caption)) if count == self._context else count - _SPECIAL_TOKENS
            for caption, count in zip(captions, present, strict=True)
        ]

    def _hf_counts(self, captions: Sequence[str]) -> list[int]:
        from open_clip.tokenizer import basic_clean, canonicalize_text

        tokenizer = self._tokenizer
        # open_clip cleans before it tokenises; its SigLIP tokenizer has no clean_fn but these two steps.
        clean = getattr(tokenizer, "clean_fn", None) or (lambda text: canonicalize_text(basic_clean(text)))
        # In "clips" mode the tokenizer's own special tokens are left out and three are added by open_clip.
        is_clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"
        ids = tokenizer.tokenizer(
            [clean(caption) for caption in captions], add_special_tokens=not is_clips, truncation=False, verbose=False
        )["input_ids"]
        return [len(row) + (1 if is_clips else -_SPECIAL_TOKENS) for row in ids]
