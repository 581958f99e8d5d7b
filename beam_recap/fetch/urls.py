"""Reading a stranger's URL: what is accepted, and how it is written on the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

MAX_URL_CHARS = 4096

_DEFAULT_PORTS = {"http": 80, "https": 443}
_USUAL_PORTS = frozenset(_DEFAULT_PORTS.values())

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Underscores are no letters of a host name, yet some hosts on the web have them.
_HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_IPV6_HOST = re.compile(r"\[[0-9a-f:.]{2,45}\]")

# Written as they are by browsers (WHATWG URL, "path percent-encode set" and "query percent-encode set"), "%" included:
# what is already encoded stays so.
_PATH_AS_IS = "%/:@!$&'()*+,;=~[]|"
_QUERY_AS_IS = "%/:@!$&()*+,;=~[]|?`{}^"


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """A URL that may be asked for: ASCII only, without credentials and fragment."""

    text: str
    host: str  # lower case; an IPv6 address keeps its brackets
    port: int
    origin: str  # scheme, host and port (RFC 6454), "https://example.org:443"

    @property
    def server(self) -> str:
        """What counts as one host, for limits and failures: the host, with its port if that is an unusual one."""
        return self.host if self.port in _USUAL_PORTS else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class BadUrl:
    """A URL that is refused before anything is sent."""

    problem: str


def read_url(url: str) -> HttpUrl | BadUrl:
    """Checks a URL and writes it as browsers do: international host names in IDNA, other characters percent-encoded.

    Whether its host is a public one cannot be told from its text; that is decided when a connection is opened.

    Args:
      url: anything.

    Returns:
      The URL to ask for, or what is wrong with it.
    """
    if not isinstance(url, str):
        return BadUrl(f"is no text but {type(url).__name__}")
    url = url.strip(" \t\r\n")
    if not url:
        return BadUrl("is empty")
    if len(url) > MAX_URL_CHARS:
        return BadUrl(f"is longer than {MAX_URL_CHARS} characters")
    if _CONTROL.search(url):
        return BadUrl("has control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
        path = quote(parts.path.replace("\\", "/"), safe=_PATH_AS_IS)
        query = quote(parts.query, safe=_QUERY_AS_IS)
    except ValueError as error:  # brackets, ports, lone surrogates
        return BadUrl(f"cannot be read: {_first_line(error)}")
    if parts.scheme not in _DEFAULT_PORTS:
        return BadUrl("is not http or https")
    if "@" in parts.netloc:
        return BadUrl("has a user name or password")
    if port == 0:
        return BadUrl("has port 0")
    host = _read_host(parts.netloc, parts.hostname or "")
    if isinstance(host, BadUrl):
        return host
    place = host if port is None else f"{host}:{port}"
    port = port or _DEFAULT_PORTS[parts.scheme]
    text = f"{parts.scheme}://{place}{path or '/'}" + (f"?{query}" if query else "")
    if len(text) > MAX_URL_CHARS:
        return BadUrl(f"is longer than {MAX_URL_CHARS} characters when encoded")
    return HttpUrl(text, host, port, f"{parts.scheme}://{host}:{port}")


def read_reference(base: HttpUrl, reference: str) -> HttpUrl | BadUrl:
    """`read_url` for where a redirect leads: a URL, or a part of one that belongs to `base` (RFC 3986, section 5)."""
    try:
        joined = urljoin(base.text, reference.strip(" \t\r\n"))
    except ValueError as error:
        return BadUrl(f"cannot be read: {_first_line(error)}")
    return read_url(joined)


def _read_host(netloc: str, host: str) -> str | BadUrl:
    if not host:
        return BadUrl("has no host")
    if netloc.startswith("["):
        bracketed = f"[{host}]"
        return bracketed if _IPV6_HOST.fullmatch(bracketed) else BadUrl("has an odd IPv6 address")
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError as error:  # IDNAError is one
            return BadUrl(f"has a host name that is no IDNA name: {_first_line(error)}")
    return host if _HOST.fullmatch(host) else BadUrl("has an odd host name")


def _first_line(error: Exception) -> str:
    # ascii(): the message quotes the URL, which may hold characters that cannot be written to a file.
    lines = str(error).splitlines()
    return ascii(lines[0])[1:-1][:200] if lines else type(error).__name__
