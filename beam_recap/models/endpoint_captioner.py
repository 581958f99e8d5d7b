"""A captioner behind a URL: what `Captioner` does, by the model of an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from beam_recap.caption_hint import fill_hint
from beam_recap.isolation import ModelFailure
from beam_recap.models.captions import Caption, hints_of
from beam_recap.models.chat_endpoint import ChatEndpoint
from beam_recap.models.chat_protocol import Answer, Question
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason


class EndpointCaptioner:
    """Captions pictures by asking a server. Threads may share it."""

    def __init__(self, endpoint: ChatEndpoint, prompt: str = RECAP_PROMPT, hint: str | None = None) -> None:
        """Asks about a grey picture first, to see that it works.

        Args:
          endpoint: the server; its ``max_tokens`` is the longest caption.
          prompt: what the model is asked about every picture. It is sent as it is: what the server's chat template
            makes of special tokens in it is the server's affair.
          hint: a sentence with ``{caption}`` that follows on a line of its own where a row has an original caption. Of
            that one everything goes that looks like a special token, because the server's are not known here.

        Raises:
          ValueError: an empty prompt, or the server does not answer; see `ChatEndpoint.check`.
        """
        if not prompt.strip():
            raise ValueError("--caption_prompt is empty; give a text, or leave the flag out.")
        self._endpoint = endpoint
        self._prompt = prompt
        self._hint = hint
        endpoint.check(prompt)

    @property
    def model_id(self) -> str:
        """The model's name at the server."""
        return self._endpoint.model

    def caption(
        self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None
    ) -> list[Caption | ModelFailure]:
        """One caption or failure per picture, in order. A picture that fails costs its neighbours nothing.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size.
          hints: see `AnyCaptioner.caption`.

        Raises:
          ValueError: see `AnyCaptioner.caption`.
        """
        shown = [self._hint_of(caption) for caption in hints_of(images, hints, self._hint is not None)]
        texts = [self._prompt if line is None else f"{self._prompt}\n{line}" for line in shown]
        answers = self._endpoint.ask([Question(text, image) for text, image in zip(texts, images, strict=True)])
        hinted = [None if self._hint is None else line is not None for line in shown]
        return [_caption_of(answer, flag) for answer, flag in zip(answers, hinted, strict=True)]

    def _hint_of(self, caption: str | None) -> str | None:
        return None if self._hint is None else fill_hint(self._hint, caption)

    def take_splits(self) -> int:
        """0: each picture is a request of its own, and the server's memory is the server's affair."""
        return 0


def _caption_of(answer: Answer | ModelFailure, hinted: bool | None) -> Caption | ModelFailure:
    if isinstance(answer, ModelFailure):
        return answer
    truncated = answer.finish_reason == "length"
    tokens = answer.tokens
    if tokens and not truncated:
        tokens -= 1  # transformers, vLLM, SGLang and TGI count the end token, a `Caption` does not
    text = answer.text.strip()
    if not text:
        counted = "an unknown number of" if tokens is None else tokens
        return ModelFailure(Reason.EMPTY_RECAPTION, f"{counted} new tokens, no text")
    return Caption(text, tokens, truncated, hinted=hinted)
