"""One URL on its way to one result, over any number of redirects and tries; and who waits for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from beam_recap.fetch.settings import FetchResult
from beam_recap.fetch.urls import HttpUrl


@dataclass(slots=True, eq=False)
class Request:
    """A URL that somebody gave, and how far it has come.

    Attributes:
      given: the URL as it was given.
      receiver: who waits; None once told.
      url: what is asked next; another one after a redirect.
      attempts: tries so far; the redirects of a try are part of it.
      redirects: followed in all tries.
      visited: the URLs that redirected.
      deadline: on the monotonic clock; set when the first transfer starts.
      last: how the last try ended.
      retry_at: when the next try is due.
      is_redirected: the next transfer goes on with this try.
      is_running: a transfer of it is under way.
      for_robots: asks for the robots.txt of this origin, not for a picture.
    """

    given: str
    receiver: Receiver | None
    url: HttpUrl | None = None
    attempts: int = 0
    redirects: int = 0
    visited: set[str] = field(default_factory=set)
    deadline: float = math.inf
    last: FetchResult | None = None
    retry_at: float = math.inf
    is_redirected: bool = False
    is_running: bool = False
    for_robots: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody still waits for a result."""
        return self.receiver is not None


class Receiver(Protocol):
    """Is told a request's result exactly once, on the fetcher's thread."""

    @property
    def holds(self) -> bool:
        """Bodies count as the fetcher's until `TransferLoop.give_back`."""

    @property
    def wanted(self) -> bool:
        """False when nobody waits any more: what has not started need not."""

    def done(self, request: Request, result: FetchResult) -> None:
        """Takes the result."""


class Callback:
    """A receiver that is a function; a body is its own as soon as it is called."""

    holds = False
    wanted = True

    def __init__(self, function: Callable[[FetchResult], None]) -> None:
        self._function = function

    def done(self, request: Request, result: FetchResult) -> None:
        """Calls the function."""
        self._function(result)
