"""One place for a transfer: a reusable libcurl easy handle with all the limits set, and what came out of it."""

from __future__ import annotations

import contextlib
import io
import socket
from dataclasses import dataclass
from typing import Any

import pycurl

from beam_recap.fetch import policy
from beam_recap.fetch.addresses import is_public_address
from beam_recap.fetch.byte_budget import ByteBudget
from beam_recap.fetch.settings import FetchSettings
from beam_recap.records import Reason

# What the decoder reads, so that servers which choose by this header send no AVIF.
ACCEPT = "image/jpeg,image/png,image/webp,image/gif;q=0.9,image/*;q=0.5,*/*;q=0.1"


@dataclass(frozen=True, slots=True)
class Ending:
    """How one transfer ended: exactly one of `body` and `verdict` is set."""

    body: bytes | None
    verdict: policy.Verdict | None
    http_status: int | None
    final_url: str | None
    retry_after_s: float = 0.0


class Transfer:
    """A place for one transfer at a time.

    Args:
      settings: the limits.
      share: the cache of names and TLS sessions.
      budget: the body bytes of all transfers.
      certificates: path of the CA bundle.
    """

    def __init__(
        self, settings: FetchSettings, share: pycurl.CurlShare, budget: ByteBudget[Transfer], certificates: str
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._body = io.BytesIO()
        self._refused = ""  # the address that was asked for and is not public
        self._too_large = False
        self._paused = False
        self.curl = pycurl.Curl()
        self._configure(share, certificates)

    def _configure(self, share: pycurl.CurlShare, certificates: str) -> None:
        curl, settings = self.curl, self._settings
        web_only = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        options: dict[int, Any] = {
            pycurl.SHARE: share,
            pycurl.NOSIGNAL: 1,  # signals and threads do not mix
            pycurl.PROTOCOLS: web_only,
            pycurl.REDIR_PROTOCOLS: web_only,
            pycurl.PROXY: "",  # a proxy from the environment would connect for us, unchecked
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
            pycurl.WRITEFUNCTION: self._on_data,
            pycurl.FOLLOWLOCATION: 1,
            pycurl.MAXREDIRS: settings.max_redirects,
            pycurl.MAXFILESIZE_LARGE: settings.max_bytes,  # refuses by Content-Length; `_on_data` counts as well
            pycurl.FAILONERROR: 1,  # the body of an error page is of no use
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,  # one transfer per connection: a pause costs no memory
            pycurl.SSL_VERIFYPEER: int(settings.verify_tls),
            pycurl.SSL_VERIFYHOST: 2 if settings.verify_tls else 0,
            pycurl.CAINFO: certificates,
            pycurl.USERAGENT: settings.user_agent,
            pycurl.HTTPHEADER: [f"Accept: {ACCEPT}"],
        }
        for option, value in options.items():
            curl.setopt(option, value)

    def start(self, url: str, remaining_s: float) -> None:
        """Makes the handle ready for one URL (ASCII), to be done within `remaining_s` seconds."""
        self._body = io.BytesIO()
        self._refused = ""
        self._too_large = False
        self._paused = False
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.TIMEOUT_MS, _milliseconds(remaining_s))
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(min(remaining_s, self._settings.connect_timeout_s)))

    def end(self, number: int, message: str) -> Ending:
        """What the transfer gave, once libcurl says that it has ended.

        Args:
          number: libcurl's error number, 0 for none.
          message: libcurl's words.
        """
        body = self._body.getvalue()
        self._body = io.BytesIO()
        status = int(self._info(pycurl.RESPONSE_CODE) or 0)
        verdict = self._judge(number, message, status, body)
        final_url = self._info(pycurl.EFFECTIVE_URL)
        return Ending(
            body=body if verdict is None else None,
            verdict=verdict,
            http_status=status or None,
            final_url=final_url.decode("utf-8", "replace") if isinstance(final_url, bytes) else None,
            retry_after_s=float(self._info(pycurl.RETRY_AFTER) or 0),
        )

    def _judge(self, number: int, message: str, status: int, body: bytes) -> policy.Verdict | None:
        if number == pycurl.E_COULDNT_CONNECT and self._refused:
            return policy.Verdict(Reason.PRIVATE_ADDRESS, f"{self._refused} is not a public address")
        if self._too_large:
            return policy.Verdict(Reason.TOO_LARGE, f"more than {self._settings.max_bytes} bytes")
        if number:
            return policy.judge_error(number, message, status)
        verdict = policy.judge_status(status)
        if verdict is None and not body:
            return policy.Verdict(Reason.EMPTY_BODY, f"HTTP {status} without a body")
        return verdict

    def _info(self, what: int) -> Any:
        # It raises where libcurl could not even read the URL.
        with contextlib.suppress(pycurl.error):
            return self.curl.getinfo_raw(what)
        return None

    def resume(self) -> None:
        """Goes on after a pause, if the budget allows; without effect on a transfer that is not paused.

        Raises:
          pycurl.error: the transfer failed in doing so.
        """
        if self._paused:
            self._paused = False
            self.curl.pause(pycurl.PAUSE_CONT)  # calls `_on_data` at once, which may pause again

    def close(self) -> None:
        """Frees the handle."""
        self.curl.close()

    def _on_data(self, data: bytes) -> int | None:
        if self._body.tell() + len(data) > self._settings.max_bytes:
            # libcurl itself counts only what Content-Length says, unless it is a recent one.
            self._too_large = True
            return 0
        if not self._budget.take(self, len(data)):
            self._paused = True
            return pycurl.WRITEFUNC_PAUSE
        self._body.write(data)
        return None

    def _open_socket(self, purpose: int, address: Any) -> socket.socket | int:
        """Refuses to connect where no stranger's URL may lead.

        This is the one place that sees every connection: of an address in any notation, of a redirect, and of a name
        that resolves differently each time. A connection that is reused was opened here, too.
        """
        try:
            where = address.addr[0]
            is_ip = address.family in (socket.AF_INET, socket.AF_INET6)
            if not is_ip or not (self._settings.allow_private_hosts or is_public_address(where)):
                self._refused = where if is_ip else "a socket that is no internet socket"
                return pycurl.SOCKET_BAD
            return socket.socket(address.family, address.socktype, address.protocol)
        except Exception:  # no descriptors left, for one; anything else must not let a connection through either
            return pycurl.SOCKET_BAD


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # 0 would mean no limit
