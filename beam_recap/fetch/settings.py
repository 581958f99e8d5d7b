"""What a fetcher may do, and what it gives back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beam_recap.records import Reason

DEFAULT_USER_AGENT = "beam-recap/0.1 (+https://github.com/beam-recap/beam-recap)"


@dataclass(frozen=True)
class FetchSettings:
    """The limits of a `Fetcher`. They hold per process.

    Attributes:
      concurrency: transfers that run at once, 1 to 4096.
      connections_per_host: transfers that run at once to one host (as named in the URL), 1 to 4096. The rest wait, so
        that one slow host holds up only itself, and no site is hammered.
      timeout_s: seconds for one picture in all, from the start of its first transfer: redirects, retries and the
        waiting between them included.
      connect_timeout_s: seconds to look up the name, connect and shake hands, per connection.
      retries: further tries after a failure that may pass, 0 to 20.
      max_bytes: size of the largest body that is taken, in bytes.
      max_redirects: redirects that are followed, 0 to 50.
      allow_private_hosts: also fetch from addresses that are not public. For tests and closed networks only.
      verify_tls: refuse servers whose certificate does not verify.
      user_agent: value of the User-Agent header: say who fetches, and where to complain.
      max_in_flight_bytes: body bytes that all running transfers hold together. When it is reached, all but the oldest
        pause; so at most this and one body of `max_bytes` are held.

    Raises:
      ValueError: a value is out of its range; the message names the field.
    """

    concurrency: int = 64
    timeout_s: float = 20.0
    connect_timeout_s: float = 5.0
    retries: int = 2
    max_bytes: int = 20 * 2**20
    max_redirects: int = 5
    allow_private_hosts: bool = False
    verify_tls: bool = True
    user_agent: str = DEFAULT_USER_AGENT
    max_in_flight_bytes: int = 256 * 2**20
    connections_per_host: int = 16

    def __post_init__(self) -> None:
        self._check_integer("concurrency", 1, 4096)
        self._check_integer("connections_per_host", 1, 4096)
        self._check_integer("retries", 0, 20)
        self._check_integer("max_bytes", 1, 2**31)
        self._check_integer("max_redirects", 0, 50)
        self._check_integer("max_in_flight_bytes", 1, 2**40)
        self._check_seconds("timeout_s")
        self._check_seconds("connect_timeout_s")
        for name in ("allow_private_hosts", "verify_tls"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        agent = self.user_agent
        if not (isinstance(agent, str) and agent.strip() and agent.isascii() and agent.isprintable()):
            raise ValueError(f"user_agent must be printable ASCII and not empty, not {agent!r}")

    def _check_integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")

    def _check_seconds(self, name: str) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0.001 <= value <= 3600:
            raise ValueError(f"{name} must be a number of seconds from 0.001 to 3600, not {value!r}")


@dataclass(frozen=True)
class FetchResult:
    """How the fetching of one URL ended: exactly one of `body` and `reason` is set.

    Attributes:
      body: the bytes of the answer, not empty.
      reason: why there is none.
      detail: one line for people, at most 500 characters; "" when there is a body.
      http_status: of the last answer; None if there was none.
      final_url: the URL after redirects; None if nothing was asked.
      attempts: transfers that were started, 0 if the URL was refused.
    """

    body: bytes | None
    reason: Reason | None
    detail: str
    http_status: int | None
    final_url: str | None
    attempts: int

    def __post_init__(self) -> None:
        if (self.body is None) == (self.reason is None):
            raise ValueError("exactly one of body and reason must be set")
