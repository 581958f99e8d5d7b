"""A client of any OpenAI-compatible server: many questions at once, one answer or failure each."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx
import numpy as np

from beam_recap import __version__
from beam_recap.isolation import ModelFailure, describe_error, is_out_of_memory
from beam_recap.models.chat_access import chat_address, read_key, remedy
from beam_recap.models.chat_protocol import (
    Answer,
    NoAnswer,
    Question,
    judge_status,
    no_use,
    parse_retry_after,
    read_answer,
    retry_wait_s,
    server_words,
    without_secret,
    write_request,
)
from beam_recap.models.loop_thread import LoopThread
from beam_recap.records import MAX_DETAIL_CHARS, Reason

MAX_ANSWER_BYTES = 1 << 20  # of one body; a caption of 128 tokens takes about 1 kB
_MAX_ERROR_BYTES = 16 << 10  # of the body of an error, of which a line is told
_ERROR_BODY_S = 5.0  # for that body
_CONNECT_S = 10.0
# Less than the 5 s after which uvicorn (vLLM, SGLang, transformers) closes an idle connection, so that seldom a request
# meets a connection that is just being closed.
_KEEP_ALIVE_S = 4.0

_LOG = logging.getLogger(__name__)


class ChatEndpoint:
    """Asks one model of one server. Threads may share it; a copy in another process reads the API key there anew.

    The key is read from the environment and stands in no setting, representation, pickle, log line or failure.
    Redirects are not followed: the key and the pictures go nowhere else. Proxies of the environment are used.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        max_tokens: int,
        api_key_variable: str | None = None,
        flag: str = "--caption_endpoint",
        image_format: str = "jpg",
        concurrency: int = 16,
        timeout_s: float = 120,
        retries: int = 4,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
          url: the base, such as ``http://localhost:8000/v1``, with or without ``/chat/completions``.
          model: its name at the server.
          max_tokens: longest answer, tokens.
          api_key_variable: the environment variable that holds the API key; None for a server that wants none.
          flag: what errors name: "--caption_endpoint" or "--judge_endpoint".
          image_format: of the pictures on their way: "jpg" (quality 95) or "png".
          concurrency: most requests at once, over all callers. A request that waits for its next try counts.
          timeout_s: for one try, from connecting to the last byte, seconds.
          retries: further tries of one question.
          clock: seconds since 1970.
          sleep: waits that many seconds.

        Raises:
          ValueError: no http(s) URL, no model, a number out of range, or an environment variable without a key.
        """
        self._settings = {
            "url": url, "model": model, "max_tokens": max_tokens, "api_key_variable": api_key_variable, "flag": flag,
            "image_format": image_format, "concurrency": concurrency, "timeout_s": timeout_s, "retries": retries,
            "clock": clock, "sleep": sleep,
        }  # fmt: skip
        self._address = chat_address(url, flag)
        if not model.strip():
            raise ValueError(f"{flag}={url} needs the name of a model that the server knows.")
        if concurrency < 1 or retries < 0 or max_tokens < 1 or not timeout_s > 0:
            raise ValueError(
                f"{flag}: concurrency ({concurrency}) and max_tokens ({max_tokens}) must be at least 1, "
                f"timeout_s ({timeout_s}) above 0 and retries ({retries}) at least 0."
            )
        if image_format not in ("jpg", "png"):
            raise ValueError(f"{flag}: pictures are sent as jpg or png, not as {image_format!r}.")
        self._url, self._model, self._flag = url, model, flag
        self._max_tokens, self._image_format = max_tokens, image_format
        self._timeout_s, self._retries = timeout_s, retries
        self._clock, self._sleep = clock, sleep
        self._key_variable = api_key_variable
        self._key = read_key(api_key_variable, flag)
        # Not packed: what a body unpacks to could not be bounded.
        headers = {"User-Agent": f"beam-recap/{__version__}", "Accept-Encoding": "identity"}
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=min(_CONNECT_S, timeout_s)),  # the rest is timed as a whole
            limits=httpx.Limits(
                max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=_KEEP_ALIVE_S
            ),
            follow_redirects=False,
        )
        requests_log = logging.getLogger("httpx")  # at INFO, workers' level, it has a line for every request
        if requests_log.level == logging.NOTSET:
            requests_log.setLevel(logging.WARNING)
        self._slots = asyncio.Semaphore(concurrency)
        self._loop = LoopThread(self._client.aclose)
        weakref.finalize(self, self._loop.close)

    def __repr__(self) -> str:
        return f"ChatEndpoint({self._url!r}, {self._model!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(ChatEndpoint, **self._settings), ()

    @property
    def model(self) -> str:
        """The model's name at the server."""
        return self._model

    def ask(self, questions: Sequence[Question]) -> list[Answer | ModelFailure]:
        """One answer or failure per question, in order. A question that fails costs its neighbours nothing."""

        async def ask_all() -> list[Answer | NoAnswer]:
            return await asyncio.gather(*(self._ask(question, self._max_tokens) for question in questions))

        return [r.failure if isinstance(r, NoAnswer) else r for r in self._loop.run(ask_all())]

    def check(self, text: str = "Please describe this image.") -> None:
        """Asks ``text`` about a small grey picture, for one token of an answer. A timeout is not tried again here.

        Raises:
          ValueError: no answer; one sentence with the flag, the URL, what the server says, and the remedy.
        """
        grey = np.full((64, 64, 3), 128, np.uint8)
        result = self._loop.run(self._ask(Question(text, grey), 1, retry_timeouts=False))
        if isinstance(result, NoAnswer):
            raise ValueError(remedy(result, self._flag, self._url, self._model, self._key_variable))
        _LOG.info("%s: %s answers at %s", self._flag, self._model, self._url)

    def close(self) -> None:
        """Closes the connections; questions on their way fail. Calling it again is harmless."""
        self._loop.close()

    async def _ask(self, question: Question, max_tokens: int, *, retry_timeouts: bool = True) -> Answer | NoAnswer:
        try:
            async with self._slots:
                body = await asyncio.to_thread(
                    write_request,
                    question,
                    model=self._model,
                    max_tokens=max_tokens,
                    image_format=self._image_format,
                )
                return await self._try_repeatedly(body, retry_timeouts)
        except Exception as error:  # whatever one question meets stays its own
            reason = Reason.OUT_OF_MEMORY if is_out_of_memory(error) else Reason.MODEL_ERROR
            return NoAnswer(ModelFailure(reason, without_secret(describe_error(error), self._key)))

    async def _try_repeatedly(self, body: bytes, retry_timeouts: bool) -> Answer | NoAnswer:
        tries, was_kept_alive = 0, False
        while True:
            result = await self._try(body)
            if isinstance(result, Answer):
                return result
            if result.was_kept_alive and not was_kept_alive:
                was_kept_alive = True  # closed by a server that was idle, not a failure of this question
                continue
            tries += 1
            is_timeout = result.failure.reason is Reason.TIMEOUT
            if not result.retry or tries > self._retries or (is_timeout and not retry_timeouts):
                break
            await self._sleep(retry_wait_s(tries, result.retry_after_s))
        if tries == 1:
            return result
        detail = f"{result.failure.detail[: MAX_DETAIL_CHARS - 20]} ({tries} tries)"
        return NoAnswer(ModelFailure(result.failure.reason, detail), result.status)

    async def _try(self, body: bytes) -> Answer | NoAnswer:
        has_connected, has_answered = False, False

        async def watch(event: str, _: object) -> None:
            nonlocal has_connected
            has_connected |= event.startswith("connection.connect_")

        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._address, content=body, extensions={"trace": watch}) as response,
            ):
                has_answered = True
                return await self._read(response)
        except (TimeoutError, httpx.TimeoutException):
            failure = ModelFailure(Reason.TIMEOUT, f"no whole answer within {self._timeout_s:g} s")
            return NoAnswer(failure, retry=True)
        except httpx.TransportError as error:
            reason = _reason_of(error)
            words = without_secret(describe_error(error), self._key)
            is_stale = not has_connected and not has_answered and reason is Reason.RESET
            return NoAnswer(
                ModelFailure(reason, words),
                retry=reason not in (Reason.TLS, Reason.BAD_RESPONSE),
                was_kept_alive=is_stale,
            )

    async def _read(self, response: httpx.Response) -> Answer | NoAnswer:
        body = bytearray()
        status = response.status_code
        if status != 200:
            with contextlib.suppress(TimeoutError, httpx.HTTPError):  # then what has come must do
                async with asyncio.timeout(_ERROR_BODY_S):
                    async for chunk in response.aiter_raw():
                        body += chunk
                        if len(body) >= _MAX_ERROR_BYTES:
                            break
            words = without_secret(server_words(bytes(body[:_MAX_ERROR_BYTES])), self._key)
            return judge_status(status, words, parse_retry_after(response.headers, self._clock()))
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            return no_use("it is packed, which was not asked for")
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                return no_use(f"it has more than {MAX_ANSWER_BYTES} bytes")
        return read_answer(bytes(body))


def _reason_of(error: httpx.TransportError) -> Reason:
    causes = list(_causes(error))
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        for kind, reason in (
            (ssl.SSLError, Reason.TLS),
            (socket.gaierror, Reason.DNS),
            (ConnectionRefusedError, Reason.REFUSED),
        ):
            if any(isinstance(cause, kind) for cause in causes):
                return reason
        return Reason.CONNECTION_ERROR
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return Reason.BAD_RESPONSE
    return Reason.RESET


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(20):
        if error is None:
            return
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__
