"""Captions as CLIP's tokens, and whether they fit its context."""

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

    def __call__(self, captions: Sequence[str]) -> tuple[torch.Tensor, list[bool]]:
        """Token ids, int64 ``[B, context]``, and for each caption whether some of its tokens did not fit.

        A caption that does not fit is cut at the end and keeps its end token, as open_clip does it.
        """
        limit = self._context * _CHARACTERS_PER_TOKEN
        shortened = [caption[:limit] for caption in captions]
        if self._is_simple and len(self._tokenizer.cache) > _MAX_REMEMBERED_WORDS:
            self._tokenizer.cache = dict(self._empty_cache)
        tokens: torch.Tensor = self._tokenizer(shortened)
        lengths = self._simple_lengths(shortened, tokens) if self._is_simple else self._hf_lengths(shortened)
        cuts = [
            length > self._context or bool(caption[limit:].strip())
            for caption, length in zip(captions, lengths, strict=True)
        ]
        return tokens, cuts

    def _simple_lengths(self, captions: Sequence[str], tokens: torch.Tensor) -> list[int]:
        """Tokens of each whole caption with start and end; counted again only where its row is full (0 is padding)."""
        is_full = (tokens[:, -1] != 0).tolist()
        return [
            len(self._tokenizer.encode(caption)) + 2 if full else 0
            for caption, full in zip(captions, is_full, strict=True)
        ]

    def _hf_lengths(self, captions: Sequence[str]) -> list[int]:
        from open_clip.tokenizer import basic_clean, canonicalize_text

        tokenizer = self._tokenizer
        # open_clip cleans before it tokenises; its SigLIP tokenizer has no clean_fn but these two steps.
        clean = getattr(tokenizer, "clean_fn", None) or (lambda text: canonicalize_text(basic_clean(text)))
        # In "clips" mode the tokenizer's own special tokens are left out and three are added by open_clip.
        is_clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"
        ids = tokenizer.tokenizer(
            [clean(caption) for caption in captions], add_special_tokens=not is_clips, truncation=False, verbose=False
        )["input_ids"]
        return [len(row) + (3 if is_clips else 0) for row in ids]
