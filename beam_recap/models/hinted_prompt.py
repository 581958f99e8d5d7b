"""A prompt with a row's original caption in it, which can neither spoil the prompt nor grow beyond a known length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beam_recap.caption_hint import clean_caption, cut_at_word
from beam_recap.models.captioner_prompt import RenderedPrompt, special_tokens, without_special_tokens

MAX_HINT_TOKENS = 96  # of one caption: slots must be long enough for the longest; plain English needs some 70 for 300
# characters, other scripts several per character


@dataclass(frozen=True, slots=True)
class WrittenPrompt:
    """A whole prompt.

    Attributes:
      text: holds the image token once.
      ids: its tokens, the image token once.
      hinted: whether the row's original caption is in it.
    """

    text: str
    ids: tuple[int, ...]
    hinted: bool


class PromptWriter:
    """Writes each row's prompt: the plain one, or the one with a hint.

    A hint adds no token that is special (of the picture, of the beginning, of a turn's end or its head): special tokens
    are taken out of the caption's text, and where the tokenizer finds one all the same, the row gets the plain prompt.

    Args:
      processor: the checkpoint's.
      prompt: as rendered for it.

    Raises:
      ValueError: the hint's sentence itself makes special tokens.
    """

    def __init__(self, processor: Any, prompt: RenderedPrompt) -> None:
        self._tokenizer = processor.tokenizer
        self._add_special_tokens = prompt.add_special_tokens
        self._special_tokens = special_tokens(processor)
        # One for what is not in the vocabulary may stand for an emoji.
        self._special_ids = {self._tokenizer.convert_tokens_to_ids(token) for token in self._special_tokens}
        self._special_ids -= {self._tokenizer.unk_token_id}
        self.plain = self._write(prompt.text, hinted=False)
        self._around_hint = prompt.around_hint
        self._max_tokens = len(self.plain.ids)
        if self._around_hint is not None:
            empty = self._write("".join(self._around_hint), hinted=True)
            if self._specials_of(empty) != self._specials_of(self.plain):
                raise ValueError("--caption_hint: the tokenizer finds special tokens in it; use other words.")
            self._max_tokens = len(empty.ids) + MAX_HINT_TOKENS

    @property
    def takes_hints(self) -> bool:
        """Whether there is a sentence to put captions into."""
        return self._around_hint is not None

    @property
    def max_tokens(self) -> int:
        """Of the longest prompt, counting the image token once."""
        return self._max_tokens

    def write(self, caption: str | None) -> WrittenPrompt:
        """The prompt for a row with this original caption; the plain one where nothing of it is left to be shown.

        A caption of more than 96 tokens is cut at a word.
        """
        if self._around_hint is None:
            return self.plain
        before, after = self._around_hint
        words = " ".join(without_special_tokens(clean_caption(caption), self._special_tokens).split())
        while words:
            written = self._write(f"{before}{words}{after}", hinted=True)
            if self._specials_of(written) != self._specials_of(self.plain):
                break
            excess = len(written.ids) - self._max_tokens
            if excess <= 0:
                return written
            share = MAX_HINT_TOKENS / (MAX_HINT_TOKENS + excess)
            words = cut_at_word(words, min(len(words) - 1, int(len(words) * share)))
        return self.plain

    def _write(self, text: str, *, hinted: bool) -> WrittenPrompt:
        ids = self._tokenizer(text, add_special_tokens=self._add_special_tokens)["input_ids"]
        return WrittenPrompt(text, tuple(ids), hinted)

    def _specials_of(self, written: WrittenPrompt) -> list[int]:
        return [token for token in written.ids if token in self._special_ids]
