"""Which OpenAI-compatible server is asked. Loads nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """A server.

    Attributes:
      url: its base, such as ``http://localhost:8000/v1``.
      model: the model's name there.
      key_variable: the environment variable that holds the API key; None for a server that wants none.
      requests: how many are made at once.
    """

    url: str
    model: str
    key_variable: str | None = None
    requests: int = 16
