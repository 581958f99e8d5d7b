"""What the tests of the chat client share."""

from __future__ import annotations

import asyncio
from typing import Any

from support.chat_server import ChatServer

from beam_recap.isolation import ModelFailure
from beam_recap.models.chat_endpoint import ChatEndpoint

LONG_S = 20  # far more than anything here takes, unless it hangs


class Waits:
    """Takes the place of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def client(server: ChatServer, waits: Waits | None = None, **settings: Any) -> ChatEndpoint:
    """A client of a test server."""
    settings = {"max_tokens": 24, "timeout_s": 10, **({"sleep": waits} if waits else {}), **settings}
    return ChatEndpoint(server.url, "tiny", **settings)


def failure(result: object) -> ModelFailure:
    """The result, which must be a failure."""
    assert isinstance(result, ModelFailure), result
    return result
