"""One place for a transfer: a reusable libcurl easy handle with all the limits set, and what came out of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pycurl

from beam_recap.fetch import policy
from beam_recap.fetch.byte_budget import ByteBudget
from beam_recap.fetch.opt_out import is_opt_out_header, opts_out
from beam_recap.fetch.request import Request
from beam_recap.fetch.robots import MAX_ROBOTS_BYTES
from beam_recap.fetch.settings import FetchSettings
from beam_recap.fetch.sockets import SocketGate
from beam_recap.fetch.urls import HttpUrl
from beam_recap.records import Reason

# AVIF is read, but not asked for: servers that choose by this header would send it instead of the JPEG that the URL
# names, and it takes ten times as long to decode.
ACCEPT = "image/jpeg,image/png,image/webp,image/gif;q=0.9,image/*;q=0.5,*/*;q=0.1"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECT_BODY = 64 * 1024  # a larger one is not read, at the price of the connection

# Larger than libcurl's own 16 kB: a picture comes in fewer calls of `_on_data`.
_BUFFER_BYTES = 128 * 1024

_NO_ADDRESS = "192.0.2.1"  # of TEST-NET-1 (RFC 5737): nobody's

_NAME_CACHE_S = 300  # seconds that an address is remembered


@dataclass(frozen=True, slots=True)
class Ending:
    """How one transfer ended: exactly one of `body`, `redirect_to` and `verdict` is set."""

    body: bytes | None
    redirect_to: str | None
    verdict: policy.Verdict | None
    http_status: int | None
    retry_after_s: float = 0.0


class Transfer:
    """A place for one transfer at a time. It has no deadline of its own: `TransferLoop` stops what is late.

    Args:
      settings: the limits.
      share: the cache of names and TLS sessions.
      budget: the body bytes of all transfers.
      certificates: path of the CA bundle.
      resolver: looks up names instead of the system.
    """

    def __init__(
        self,
        settings: FetchSettings,
        share: pycurl.CurlShare,
        budget: ByteBudget[Request],
        certificates: str,
        resolver: Callable[[str, int], Sequence[str]] | None = None,
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._resolver = resolver
        self._directives = frozenset(settings.opt_out_directives)
        self._gate = SocketGate(settings)
        self.curl = pycurl.Curl()
        self._configure(share, certificates)
        self._clear()

    def _configure(self, share: pycurl.CurlShare, certificates: str) -> None:
        curl, settings = self.curl, self._settings
        web_only = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        options: dict[int, Any] = {
            pycurl.SHARE: share,
            pycurl.NOSIGNAL: 1,  # signals and threads do not mix
            pycurl.PROTOCOLS: web_only,
            pycurl.PROXY: "",  # a proxy from the environment would connect for us, unchecked
            pycurl.OPENSOCKETFUNCTION: self._gate.open,
            pycurl.HEADERFUNCTION: self._on_header,
            pycurl.WRITEFUNCTION: self._on_data,
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.DNS_CACHE_TIMEOUT: _NAME_CACHE_S,
            pycurl.FOLLOWLOCATION: 0,  # `Traffic` does: each hop has its host's limits, rules and place in the queue
            pycurl.FAILONERROR: 1,  # the body of an error page is of no use
            pycurl.ENCODING: "identity",  # asks for plain bodies; what comes packed all the same is unpacked
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,  # one transfer per connection: a pause costs no memory
            pycurl.SSL_VERIFYPEER: int(settings.verify_tls),
            pycurl.SSL_VERIFYHOST: 2 if settings.verify_tls else 0,
            pycurl.CAINFO: certificates,
            pycurl.USERAGENT: settings.user_agent,
            pycurl.HTTPHEADER: [f"Accept: {ACCEPT}"],
        }
        for option, value in options.items():
            curl.setopt(option, value)

    def _clear(self) -> None:
        self._request: Request | None = None
        self._chunks: list[bytes] = []
        self._size = 0  # of the chunks
        self._status = 0  # of the answer so far; libcurl does not tell while it calls back
        self._location: str | None = None  # where it redirects to, as it says
        self._length: int | None = None  # of the body, as it says
        self._opt_out_lines: list[bytes] = []
        self._opted_out = ""  # the header that said so
        self._too_large = False
        self._cut = False
        self._paused_at: float | None = None

    def start(self, request: Request, remaining_s: float) -> None:
        """Makes the handle ready for a request's URL, to be done within `remaining_s` seconds."""
        assert request.url is not None
        self._clear()
        self._gate.clear()
        self._request = request
        self._max_bytes = MAX_ROBOTS_BYTES if request.for_robots else self._settings.max_bytes
        connect_s = min(remaining_s, self._settings.connect_timeout_s)
        self.curl.setopt(pycurl.URL, request.url.text)
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(connect_s * 1000)))  # 0 would mean libcurl's default
        # Refuses by Content-Length; `_on_data` counts as well.
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, 0 if request.for_robots else self._max_bytes)
        if self._resolver is not None:
            self._resolve(request.url)

    def _resolve(self, url: HttpUrl) -> None:
        addresses: Sequence[str] = ()
        with contextlib.suppress(OSError):
            addresses = self._resolver(url.host, url.port) if self._resolver else ()
        self._gate.is_unresolved = not addresses
        # Without any address libcurl would look the name up itself.
        self.curl.setopt(pycurl.RESOLVE, [f"+{url.host}:{url.port}:{','.join(addresses) or _NO_ADDRESS}"])

    def end(self, number: int, message: str) -> Ending:
        """What the transfer gave, once libcurl says that it has ended.

        Args:
          number: libcurl's error number, 0 for none.
          message: libcurl's words.
        """
        body = b"".join(self._chunks)
        status = int(self._info(pycurl.RESPONSE_CODE) or 0)
        verdict: policy.Verdict | None = None
        redirect_to = self._location if status in _REDIRECTS else None
        if redirect_to is None:
            verdict = self._judge(number, message, status, body)
        ending = Ending(
            body=body if verdict is None and redirect_to is None else None,
            redirect_to=redirect_to,
            verdict=verdict,
            http_status=status or None,
            retry_after_s=float(self._info(pycurl.RETRY_AFTER) or 0) if status in (429, 503) else 0.0,
        )
        self._clear()
        return ending

    def _judge(self, number: int, message: str, status: int, body: bytes) -> policy.Verdict | None:
        if self._cut and status == 200:
            return None
        if self._opted_out:
            return policy.Verdict(Reason.OPTED_OUT, policy.clean_detail(self._opted_out))
        if self._too_large:
            return policy.Verdict(Reason.TOO_LARGE, f"more than {self._max_bytes} bytes")
        if number == pycurl.E_COULDNT_CONNECT and self._gate.refused:
            return policy.Verdict(Reason.PRIVATE_ADDRESS, f"{self._gate.refused} is not a public address")
        if number == pycurl.E_COULDNT_CONNECT and self._gate.is_unresolved:
            return policy.Verdict(Reason.DNS, "the resolver gave no address", retry=True, host_failed=True)
        if number == pycurl.E_COULDNT_CONNECT and self._gate.error:
            return policy.Verdict(Reason.CONNECTION_ERROR, policy.clean_detail(self._gate.error), retry=True)
        if number:
            os_error = self._info(pycurl.OS_ERRNO) if number == pycurl.E_COULDNT_CONNECT else 0
            return policy.judge_error(number, message, status, os_error or 0)
        verdict = policy.judge_status(status)
        if verdict is None and not body:
            return policy.Verdict(Reason.EMPTY_BODY, f"HTTP {status} without a body")
        return verdict

    def resume(self) -> float:
        """Goes on after a pause, if the budget allows. It may pause again at once.

        Returns:
          Seconds of the pause that `paused_s` has not given yet.

        Raises:
          pycurl.error: the transfer failed in doing so.
        """
        paused_s = self.paused_s()
        self._paused_at = None
        self.curl.pause(pycurl.PAUSE_CONT)  # calls `_on_data` at once
        return paused_s

    def paused_s(self) -> float:
        """Seconds since it paused, or since this was last asked; 0 for a transfer that is not paused."""
        if self._paused_at is None:
            return 0.0
        now = time.monotonic()
        since, self._paused_at = self._paused_at, now
        return now - since

    @property
    def is_paused(self) -> bool:
        """Whether it waits for the budget."""
        return self._paused_at is not None

    def close(self) -> None:
        """Frees the handle."""
        self.curl.close()

    def _on_header(self, line: bytes) -> int | None:
        if is_opt_out_header(line):
            self._opt_out_lines.append(line)
        elif line[:9].lower() == b"location:":
            self._location = _text(line[9:])
        elif line[:15].lower() == b"content-length:":
            self._length = int(line[15:]) if line[15:].strip().isdigit() else None
        elif line.startswith(b"HTTP/"):  # perhaps after an interim answer
            self._status = _status_of(line)
            self._location = self._length = None
            self._opt_out_lines.clear()
        elif not line.strip():
            return self._on_headers_end()
        return None

    def _on_headers_end(self) -> int | None:
        """Stops where the body is not wanted."""
        if self._location is not None and self._status in _REDIRECTS:
            # A small body is read, so that the connection can be used again.
            return None if self._length is not None and self._length <= _MAX_REDIRECT_BODY else -1
        # What an error page or a redirect says is not about a picture.
        if self._opt_out_lines and self._status in (200, 203) and self._request and not self._request.for_robots:
            self._opted_out = opts_out(self._opt_out_lines, self._directives, self._settings.agent) or ""
        return -1 if self._opted_out else None

    def _on_data(self, data: bytes) -> int | None:
        size = self._size + len(data)
        if size > self._max_bytes:
            # libcurl itself counts only what Content-Length says, and before it is unpacked.
            self._cut = self._request is not None and self._request.for_robots is not None
            self._too_large = not self._cut
            if self._cut:
                self._chunks.append(data[: self._max_bytes - self._size])
            return 0
        if not self._budget.take(self._request, len(data)):
            self._paused_at = time.monotonic()
            return pycurl.WRITEFUNC_PAUSE
        self._chunks.append(data)
        self._size = size
        return None

    def _info(self, what: int) -> Any:
        # It raises where libcurl could not even read the URL.
        with contextlib.suppress(pycurl.error):
            return self.curl.getinfo_raw(what)
        return None


def _status_of(line: bytes) -> int:
    code = line.split(None, 2)[1:2]
    return int(code[0]) if code and code[0].isdigit() else 0


def _text(value: bytes) -> str:
    """A header's value. Servers that do not percent-encode send UTF-8, or else Latin-1."""
    value = value.strip()
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
