"""What the end of a transfer means: its reason, whether another try may help, and how long to wait before it.

Error numbers are libcurl's (https://curl.se/libcurl/c/libcurl-errors.html).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pycurl

from beam_recap.records import MAX_DETAIL_CHARS, Reason

FIRST_BACKOFF_S = 0.5  # doubled for each further try


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a transfer gave no picture, and whether the same URL is worth another try soon."""

    reason: Reason
    detail: str
    retry: bool = False


# Kept apart from CONNECTION_ERROR because the certificate, not the network, is at fault.
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

_BROKEN_CONNECTION = frozenset(
    {
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_PARTIAL_FILE,
        pycurl.E_GOT_NOTHING,
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
    }
)

# OpenSSL's words for a peer that hangs up during the handshake, which libcurl reports as a TLS error.
_HANG_UP = ("unexpected eof", "connection reset", "ssl_error_syscall")


def judge_status(status: int) -> Verdict | None:
    """What an HTTP status means; None for one that comes with the picture: 200, and 203 (changed on its way).

    204 and 205 have no body by definition. 408 means that the server ran out of patience, hence TIMEOUT. All else
    that is no server error is counted as HTTP_4XX and not retried: asking again gives the same. That includes 206 and
    304, which were not asked for, redirects without a target, and inventions such as LinkedIn's 999.
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
    if 500 <= status <= 599:
        return Verdict(Reason.HTTP_5XX, detail, retry=True)
    return Verdict(Reason.HTTP_4XX, detail)


def judge_error(number: int, message: str, status: int) -> Verdict:
    """What an error of libcurl means.

    Args:
      number: the error number, not 0.
      message: libcurl's own words.
      status: of the last answer, 0 if there was none.

    Timeouts are not retried: the deadline has passed, or the kernel has knocked three times within the connect
    timeout. Only a name that was not found in time is, because resolvers are often overloaded. libcurl does not tell
    whether a name is unknown or the resolver was busy, so both are retried.
    """
    detail = clean_detail(f"{message or 'no message'} (libcurl error {number})")
    if status >= 400 and (verdict := judge_status(status)):
        return verdict
    if number == pycurl.E_COULDNT_RESOLVE_HOST:
        return Verdict(Reason.DNS, detail, retry=True)
    if number == pycurl.E_OPERATION_TIMEDOUT:
        if message.startswith("Resolving timed out"):
            return Verdict(Reason.DNS, detail, retry=True)
        return Verdict(Reason.TIMEOUT, detail)
    if number == pycurl.E_TOO_MANY_REDIRECTS:
        return Verdict(Reason.REDIRECT_LOOP, detail)
    if number == pycurl.E_FILESIZE_EXCEEDED:
        return Verdict(Reason.TOO_LARGE, detail)
    if number == pycurl.E_URL_MALFORMAT:
        return Verdict(Reason.INVALID_URL, detail)
    if number == pycurl.E_UNSUPPORTED_PROTOCOL and "HTTP/0.9" not in message:
        return Verdict(Reason.INVALID_URL, detail)  # a redirect to file:, ftp:, ...
    if number in _TLS_ERRORS:
        if number == pycurl.E_SSL_CONNECT_ERROR and any(words in message.lower() for words in _HANG_UP):
            return Verdict(Reason.CONNECTION_ERROR, detail, retry=True)
        return Verdict(Reason.TLS, detail)
    # What is left is a server that does not speak HTTP, or a failure inside libcurl: not worth another try now.
    return Verdict(Reason.CONNECTION_ERROR, detail, retry=number in _BROKEN_CONNECTION)


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
