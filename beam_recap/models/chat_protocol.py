"""The chat completions protocol of OpenAI-compatible servers: what is asked, and what an answer is worth. No network.

Its documentation: https://platform.openai.com/docs/api-reference/chat. vLLM, SGLang, TGI, Vertex AI and
``transformers serve`` speak it.
"""

from __future__ import annotations

import base64
import email.utils
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_recap.images.encode import encode_image
from beam_recap.isolation import ModelFailure
from beam_recap.records import MAX_DETAIL_CHARS, Reason

JPEG_QUALITY = 95
FIRST_BACKOFF_S = 0.5  # doubled for each further try
MAX_WAIT_S = 60.0  # before one further try, whatever the server asks for
MAX_WORDS_CHARS = 300  # of what a server says, in a detail
_MAX_TOKENS_TOLD = 2**31  # a server that counts more is wrong
_MIME_TYPES = {"jpg": "image/jpeg", "png": "image/png"}

# Overloaded, or not ready yet. A 500 of these servers is most often one request's own fault (transformers' for a
# picture it cannot read) and comes again.
_TRY_AGAIN = frozenset({429, 502, 503, 504})
# The endpoint's fault and not the row's: a revoked key, a model that was unloaded.
_ENDPOINT_AT_FAULT = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a model is asked: one user message, the picture first."""

    text: str
    image: np.ndarray | None = None  # RGB, uint8 [H, W, 3]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered."""

    text: str  # may be empty
    finish_reason: str  # "stop", or "length" if it was cut at the limit
    tokens: int | None  # as the server counts them (most count the end token); None if it does not say


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why one try gave no answer.

    Attributes:
      failure: what a caller gets, if it stays with this.
      status: the HTTP status; 0 if there was none.
      retry: another try may help.
      retry_after_s: seconds that the server asks to wait; 0 if it does not say.
      was_kept_alive: the connection had been used before and broke before an answer began.
    """

    failure: ModelFailure
    status: int = 0
    retry: bool = False
    retry_after_s: float = 0.0
    was_kept_alive: bool = False


def write_request(question: Question, *, model: str, max_tokens: int, image_format: str) -> bytes:
    """The JSON body of a request: temperature 0 and seed 0, so that the same question has the same answer.

    Args:
      question: what to ask.
      model: its name at the server.
      max_tokens: longest answer, tokens.
      image_format: "jpg" (quality 95) or "png" (loses nothing, several times as large).

    Raises:
      ValueError: the picture is not uint8 ``[H, W, 3]``.
    """
    content: str | list[dict[str, Any]] = question.text
    if (image := question.image) is not None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"a picture must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        data = base64.b64encode(encode_image(image, format=image_format, quality=JPEG_QUALITY)).decode("ascii")
        picture = {"url": f"data:{_MIME_TYPES[image_format]};base64,{data}"}
        content = [{"type": "image_url", "image_url": picture}, {"type": "text", "text": question.text}]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "seed": 0,
        "stream": False,
    }
    return json.dumps(body).encode("ascii")


def read_answer(body: bytes) -> Answer | NoAnswer:
    """Reads the JSON body of an answer with status 200.

    Text without a content (a refusal, or a model that spent its tokens on reasoning) is an empty answer. Only "stop"
    and "length" are ends of an answer: after a content filter or a call of a tool it is not what was asked for.
    """
    try:
        told = json.loads(body)
        choice = told["choices"][0]
        text, finish_reason = choice["message"].get("content"), choice["finish_reason"]
    except (ValueError, RecursionError):
        return no_use("no JSON")
    except (LookupError, TypeError, AttributeError):
        return no_use("JSON without choices[0].message and finish_reason")
    if not isinstance(text, str | None):
        return no_use("a content that is no text")
    if finish_reason not in ("stop", "length"):
        return no_use(f"finish_reason {json.dumps(finish_reason)[:100]}, neither stop nor length")
    usage = told.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if type(tokens) is not int or not 0 <= tokens < _MAX_TOKENS_TOLD:
        tokens = None
    # JSON can hold half a surrogate pair, which no file can.
    return Answer((text or "").encode("utf-8", "replace").decode("utf-8"), finish_reason, tokens)


def no_use(what: str) -> NoAnswer:
    """For an answer of no use, which another try would give again."""
    return NoAnswer(ModelFailure(Reason.BAD_RESPONSE, f"the server's answer is of no use: {what}"), status=200)


def judge_status(status: int, words: str, retry_after_s: float = 0.0) -> NoAnswer:
    """What a status other than 200 means.

    Tried again are 429, 502, 503 and 504. A refused key or an unknown model (401, 403, 404) is MODEL_ERROR, which is
    transient: with the endpoint set right, the same row may do. 408 means that the server ran out of patience, hence
    TIMEOUT. Any other 4xx is about this request.

    Args:
      status: of HTTP.
      words: what the server says, without secrets.
      retry_after_s: see `parse_retry_after`.
    """
    if status in _ENDPOINT_AT_FAULT:
        reason = Reason.MODEL_ERROR
    elif status == 408:
        reason = Reason.TIMEOUT
    elif status == 429:
        reason = Reason.HTTP_429
    elif 400 <= status <= 499:
        reason = Reason.HTTP_4XX
    elif 500 <= status <= 599:
        reason = Reason.HTTP_5XX
    else:
        reason = Reason.BAD_RESPONSE
    detail = f"HTTP {status}" + (" (redirects are not followed)" if 300 <= status <= 399 else "")
    detail += f": {words}" if words else ""
    return NoAnswer(ModelFailure(reason, detail[:MAX_DETAIL_CHARS]), status, status in _TRY_AGAIN, retry_after_s)


def server_words(body: bytes) -> str:
    """The message in the body of an error: OpenAI's, vLLM's or FastAPI's form of JSON, else the text itself."""
    text = body.decode("utf-8", "replace")
    try:
        told = json.loads(text)
        for name in ("error", "message", "detail"):
            if isinstance(told, dict) and told.get(name):
                told = told[name]
        return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def without_secret(text: str, secret: str) -> str:
    """One printable line of at most 300 characters, in which the secret is replaced: servers may quote it."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if secret:
        text = text.replace(secret, "[API key]")
    line = " ".join("".join(char if char.isprintable() or char.isspace() else "?" for char in text).split())
    return line if len(line) <= MAX_WORDS_CHARS else line[: MAX_WORDS_CHARS - 3] + "..."


def parse_retry_after(headers: Mapping[str, str], now: float) -> float:
    """Seconds from a Retry-After header: a number or a date (RFC 9110, section 10.2.3); 0 for none or nonsense.

    Args:
      headers: of the answer.
      now: seconds since 1970.
    """
    value = headers.get("retry-after", "").strip()[:100]
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError, OSError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def retry_wait_s(tries: int, retry_after_s: float) -> float:
    """Seconds to wait before the next try.

    Args:
      tries: so far, at least 1.
      retry_after_s: what the server asked for, 0 if nothing.

    Returns:
      0.5 s, 1 s, 2 s ... times a random factor in [0.5, 1.5], so that failures of one moment do not come back in one
      moment; not less than what the server asked for, and never more than 60 s.
    """
    backoff = FIRST_BACKOFF_S * 2 ** min(tries - 1, 30) * random.uniform(0.5, 1.5)
    return min(MAX_WAIT_S, max(backoff, retry_after_s))
