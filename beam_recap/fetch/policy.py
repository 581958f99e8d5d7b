"""What the end of a transfer means: its reason, whether another try may help, and how long to wait before it.

Error numbers are libcurl's (https://curl.se/libcurl/c/libcurl-errors.html).
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass

import pycurl

from beam_recap.records import MAX_DETAIL_CHARS, Reason

FIRST_BACKOFF_S = 0.5  # doubled for each further try


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a transfer gave no picture.

    Attributes:
      reason: why.
      detail: one line for people.
      retry: the same URL is worth another try soon.
      host_failed: nothing, or not all, came from this host; it counts towards giving it up for a while.
    """

    reason: Reason
    detail: str
    retry: bool = False
    host_failed: bool = False


# Kept apart from broken connections because the certificate, not the network, is at fault.
_TLS_ERRORS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_SSL_ENGINE_INITFAILED,
    }
)

_BROKEN_CONNECTION = frozenset({pycurl.E_PARTIAL_FILE, pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR})

# No HTTP, HTTP with more than 300 kB of headers, or a body that does not unpack as its headers say.
_TOO_MANY_HEADERS = 100  # CURLE_TOO_LARGE, which pycurl does not name
_BAD_RESPONSE = frozenset(
    {
        pycurl.E_FTP_WEIRD_SERVER_REPLY,  # CURLE_WEIRD_SERVER_REPLY by its old name
        pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9; URLs of other protocols do not come this far
        pycurl.E_BAD_CONTENT_ENCODING,
        _TOO_MANY_HEADERS,
    }
)

# OpenSSL's words for a peer that hangs up during the handshake, which libcurl reports as a TLS error.
_HANG_UP = ("unexpected eof", "connection reset", "ssl_error_syscall")

_NAMED_STATUS = {403: Reason.HTTP_403, 404: Reason.HTTP_404, 410: Reason.HTTP_410}


def judge_status(status: int) -> Verdict | None:
    """What an HTTP status means; None for one that comes with the picture: 200, and 203 (changed on its way).

    204 and 205 have no body by definition. 408 means that the server ran out of patience, hence TIMEOUT. What was not
    asked for (206, 304), redirects without a target and inventions such as LinkedIn's 999 are BAD_RESPONSE. None of
    the 4xx but 408 and 429 is tried again: asking again gives the same.
    """
    detail = f"HTTP {status}"
    if status in (200, 203):
        return None
    if status in (204, 205):
        return Verdict(Reason.EMPTY_BODY, detail)
    if status == 408:
        return Verdict(Reason.TIMEOUT, detail, retry=True)
    if status == 429:
        return Verdict(Reason.HTTP_429, detail, retry=True)
    if 400 <= status <= 499:
        return Verdict(_NAMED_STATUS.get(status, Reason.HTTP_4XX), detail)
    if 500 <= status <= 599:
        return Verdict(Reason.HTTP_5XX, detail, retry=True)
    return Verdict(Reason.BAD_RESPONSE, detail)


def judge_error(number: int, message: str, status: int, os_error: int = 0) -> Verdict:
    """What an error of libcurl means.

    Args:
      number: the error number, not 0.
      message: libcurl's own words.
      status: of the answer, 0 if there was none.
      os_error: errno of the last failed connect, 0 if none.

    Timeouts are not tried again: the deadline has passed, or the kernel has knocked three times within the connect
    timeout. Only a name that was not found in time is, because resolvers are often overloaded. libcurl does not tell
    whether a name is unknown or the resolver was busy, so both are tried again.
    """
    detail = clean_detail(f"{message or 'no message'} (libcurl error {number})")
    if status >= 400 and (verdict := judge_status(status)):
        return verdict
    if number == pycurl.E_COULDNT_RESOLVE_HOST:
        return Verdict(Reason.DNS, detail, retry=True, host_failed=True)
    if number == pycurl.E_OPERATION_TIMEDOUT:
        if message.startswith("Resolving timed out"):
            return Verdict(Reason.DNS, detail, retry=True, host_failed=True)
        return Verdict(Reason.TOO_SLOW if status else Reason.TIMEOUT, detail, host_failed=True)
    if number == pycurl.E_COULDNT_CONNECT:
        return _judge_connect(detail, os_error)
    if number in _BROKEN_CONNECTION:
        return Verdict(Reason.RESET, detail, retry=True, host_failed=True)
    if number == pycurl.E_FILESIZE_EXCEEDED:
        return Verdict(Reason.TOO_LARGE, detail)
    if number == pycurl.E_URL_MALFORMAT:
        return Verdict(Reason.INVALID_URL, detail)
    if number in _BAD_RESPONSE:
        return Verdict(Reason.BAD_RESPONSE, detail)
    if number in _TLS_ERRORS:
        if number == pycurl.E_SSL_CONNECT_ERROR and any(words in message.lower() for words in _HANG_UP):
            return Verdict(Reason.RESET, detail, retry=True, host_failed=True)
        return Verdict(Reason.TLS, detail)
    return Verdict(Reason.CONNECTION_ERROR, detail)  # a failure inside libcurl: not worth another try now


def _judge_connect(detail: str, os_error: int) -> Verdict:
    if os_error == errno.ECONNREFUSED:
        return Verdict(Reason.REFUSED, detail, retry=True, host_failed=True)
    if os_error == errno.ETIMEDOUT:
        return Verdict(Reason.TIMEOUT, detail, host_failed=True)
    return Verdict(Reason.CONNECTION_ERROR, detail, retry=True, host_failed=True)


def retry_wait_s(attempts: int, retry_after_s: float) -> float:
    """Seconds to wait before the next try.

    Args:
      attempts: tries so far, at least 1.
      retry_after_s: what the server asked for, 0 if nothing.

    Returns:
      0.5 s, 1 s, 2 s ... times a random factor in [0.5, 1.5], so that failures of one moment do not come back in one
      moment; never less than what the server asked for.
    """
    backoff = FIRST_BACKOFF_S * 2 ** (attempts - 1) * random.uniform(0.5, 1.5)
    return max(backoff, retry_after_s)


def clean_detail(text: str) -> str:
    """One line that any file can hold: messages quote what servers sent."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() else "?" for char in text)[:MAX_DETAIL_CHARS]
