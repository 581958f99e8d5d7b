"""Ratings of captions by the vision model of an OpenAI-compatible server: GPT-4V's place in Recap-DataComp-1B."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from beam_recap.isolation import ModelFailure
from beam_recap.judge import judge_question, parse_rating
from beam_recap.models.chat_endpoint import ChatEndpoint
from beam_recap.models.chat_protocol import Answer, Question
from beam_recap.records import Reason

_MAX_QUOTE_CHARS = 200


class EndpointJudge:
    """Rates captions by asking a server. Threads may share it."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        """Asks about a grey picture first, to see that it works.

        Raises:
          ValueError: the server does not answer; see `ChatEndpoint.check`.
        """
        self._endpoint = endpoint
        endpoint.check(judge_question("A plain grey square."))

    @property
    def model_id(self) -> str:
        """The model's name at the server."""
        return self._endpoint.model

    def judge(self, images: Sequence[np.ndarray], captions: Sequence[str | None]) -> list[int | ModelFailure]:
        """One rating from 1 to 5, or a failure (never 0), per caption, in order.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size.
          captions: one per picture. Without words there is nothing to rate: MISSING_CAPTION, and nobody is asked.

        Raises:
          ValueError: more of the ones than of the others.
        """
        pairs = list(zip(images, captions, strict=True))
        questions = [Question(judge_question(caption), image) for image, caption in pairs if _has_words(caption)]
        answers = iter(self._endpoint.ask(questions))
        missing = ModelFailure(Reason.MISSING_CAPTION, "no caption to rate")
        return [_rating_of(next(answers)) if _has_words(caption) else missing for _, caption in pairs]


def _has_words(caption: str | None) -> bool:
    return bool(caption and caption.strip())


def _rating_of(answer: Answer | ModelFailure) -> int | ModelFailure:
    if isinstance(answer, ModelFailure):
        return answer
    # Of a cut answer the last line may go on: "Rating: 4" as "Rating: 4.5".
    whole = answer.text if answer.finish_reason == "stop" else answer.text.rpartition("\n")[0]
    rating = parse_rating(whole)
    if rating is None:
        ending = " (cut at the limit)" if answer.finish_reason == "length" else ""
        return ModelFailure(Reason.BAD_RESPONSE, f"no clear rating in {answer.text[:_MAX_QUOTE_CHARS]!r}{ending}")
    return rating
