"""What a fetcher may do, and what it gives back."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from beam_recap import __version__
from beam_recap.names import DEFAULT_AGENT, DEFAULT_CONTACT, OPT_OUT_DIRECTIVES
from beam_recap.records import Reason

_AGENT = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class FetchSettings:
    """The limits of a `Fetcher`. They hold per process.

    Attributes:
      concurrency: transfers that run at once, 1 to 4096.
      connections_per_host: transfers that run at once to one host (as named in the URL; with its port, unless that is
        80 or 443), 1 to 4096. The rest wait, so that one slow host holds up only itself, and no site is hammered.
      host_requests_per_s: requests per second to one host, from 0.001; None for no limit.
      timeout_s: seconds for one picture in all, from the start of its first transfer: redirects, retries and the
        waiting between them included.
      connect_timeout_s: seconds to look up the name, connect and shake hands, per connection.
      retries: further tries after a failure that may pass, 0 to 20.
      max_bytes: size of the largest body that is taken, in bytes.
      max_redirects: redirects that are followed, 0 to 50.
      ports: TCP ports that may be asked; () for any. Not looked at with allow_private_hosts.
      allow_private_hosts: also fetch from addresses that are not public. For tests and closed networks only.
      allow_local_files: also read absolute paths, file: and gs:// URLs (`FetchWindow`).
      verify_tls: refuse servers whose certificate does not verify.
      agent: name in the User-Agent header, by which X-Robots-Tag and robots.txt may address the fetcher.
      contact: where site owners can complain: a URL or an e-mail address.
      opt_out_directives: which of `OPT_OUT_DIRECTIVES` are honoured.
      obey_robots_txt: whether robots.txt decides what is fetched (RFC 9309).
      ahead_rows: URLs of one `FetchWindow` that are waiting, running, or finished and not yet taken.
      ahead_bytes: body bytes that are running, or finished and not yet taken. When it is reached, all but the oldest
        transfer pause; so at most this and one body of `max_bytes` are held.

    Raises:
      ValueError: a value is out of its range; the message names the field.
    """

    concurrency: int = 64
    connections_per_host: int = 16
    host_requests_per_s: float | None = None
    timeout_s: float = 20.0
    connect_timeout_s: float = 5.0
    retries: int = 2
    max_bytes: int = 20 * 2**20
    max_redirects: int = 5
    ports: tuple[int, ...] = (80, 443, 8080, 8443)
    allow_private_hosts: bool = False
    allow_local_files: bool = False
    verify_tls: bool = True
    agent: str = DEFAULT_AGENT
    contact: str = DEFAULT_CONTACT
    opt_out_directives: tuple[str, ...] = OPT_OUT_DIRECTIVES
    obey_robots_txt: bool = False
    ahead_rows: int = 2048
    ahead_bytes: int = 32 * 2**20

    @property
    def user_agent(self) -> str:
        """The User-Agent header."""
        return f"{self.agent}/{__version__} (+{self.contact})"

    def __post_init__(self) -> None:
        self._check_integer("concurrency", 1, 4096)
        self._check_integer("connections_per_host", 1, 4096)
        self._check_integer("retries", 0, 20)
        self._check_integer("max_bytes", 1, 2**31)
        self._check_integer("max_redirects", 0, 50)
        self._check_integer("ahead_rows", 1, 1_000_000)
        self._check_integer("ahead_bytes", 1, 2**40)
        self._check_number("timeout_s", 0.001, 3600)
        self._check_number("connect_timeout_s", 0.001, 3600)
        if self.host_requests_per_s is not None:
            self._check_number("host_requests_per_s", 0.001, 100_000)
        for name in ("allow_private_hosts", "allow_local_files", "verify_tls", "obey_robots_txt"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if not (isinstance(self.agent, str) and _AGENT.fullmatch(self.agent)):
            raise ValueError(f"agent must be letters, digits, '-', '_' or '.', not {self.agent!r}")
        contact = self.contact
        if not (isinstance(contact, str) and contact.strip() and contact.isascii() and contact.isprintable()):
            raise ValueError(f"contact must be printable ASCII and not empty, not {contact!r}")
        if not all(isinstance(port, int) and 1 <= port <= 65535 for port in self.ports):
            raise ValueError(f"ports must be numbers from 1 to 65535, not {self.ports!r}")
        if unknown := set(self.opt_out_directives) - set(OPT_OUT_DIRECTIVES):
            raise ValueError(f"opt_out_directives has the unknown {', '.join(sorted(unknown))}")

    def _check_integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")

    def _check_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"{name} must be a number from {low} to {high}, not {value!r}")


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
