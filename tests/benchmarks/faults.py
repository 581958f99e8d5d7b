"""URLs that go wrong, each in a known way, and the reasons that their rows must end with."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from pathlib import Path

from beam_recap.records import Reason
from tests.support.load_server import LoadServer, host_address
from tests.support.pictures import png_of
from tests.support.web_corpus import make_corpus

FAULT_SHARE = 0.3
_CERTIFIED_HOSTS = 50
_FIRST_OWN_HOST = 1000  # from here on each row has a host of its own
_FIRST_MOODY_HOST = 500  # these answer as usual, but every now and then ask to be left alone for an hour
_MOODY_HOSTS = 3
_MAX_SIDE = 800  # px: the soak is about fetching

# Answered by the server under this name (see `load_faults`); the parts after the name are its own.
_ANSWERS: dict[str, Reason | None] = {
    "403": Reason.HTTP_403,
    "404": Reason.HTTP_404,
    "410": Reason.HTTP_410,
    "451": Reason.HTTP_4XX,
    "429?1": Reason.HTTP_429,
    "429?3600": Reason.HTTP_429,
    "500": Reason.HTTP_5XX,
    "503?1": Reason.HTTP_5XX,
    "206": Reason.BAD_RESPONSE,
    "once-429?1": None,
    "once-503": None,
    "away": None,
    "noai": Reason.OPTED_OUT,
    "loop": Reason.REDIRECT_LOOP,
    "private": Reason.PRIVATE_ADDRESS,
    "html": Reason.NOT_AN_IMAGE,
    "corrupt": Reason.CORRUPT,
    "empty": Reason.EMPTY_BODY,
    "garbage": Reason.BAD_RESPONSE,
    "announced": Reason.TOO_LARGE,
    "endless": Reason.TOO_LARGE,
    "drip": Reason.TOO_SLOW,
    "hang": Reason.TIMEOUT,
    "truncated": Reason.RESET,
    "reset": Reason.RESET,
}

# Not URLs that anything may be sent to.
_REFUSED_URLS = (
    ("", Reason.INVALID_URL),
    ("ftp://127.1.0.1/cat.jpg", Reason.INVALID_URL),
    ("file:///etc/hostname", Reason.INVALID_URL),
    ("http://10.0.0.1/cat.jpg", Reason.PRIVATE_ADDRESS),
    ("http://0x0a000001/cat.jpg", Reason.PRIVATE_ADDRESS),
    ("http://[::1]/cat.jpg", Reason.PRIVATE_ADDRESS),
    ("http://169.254.169.254/latest/meta-data/", Reason.PRIVATE_ADDRESS),
)
_OTHERS = ("dns", "refused", "dead_host", "untrusted", "wrong_name", "no_tls", "tiny", "bomb", "moody", "refused_url")


@dataclass(frozen=True)
class Row:
    """A URL, and how it must end: one of the reasons; None for a picture."""

    kind: str
    url: str
    endings: frozenset[Reason | None]


@dataclass(frozen=True)
class Web:
    """The servers.

    Attributes:
      plain: HTTP.
      trusted: HTTPS, with good certificates for the first hosts.
      untrusted: HTTPS, signed by somebody unknown.
      closed_port: where nobody listens.
      pictures: names of good pictures, which all servers have.
    """

    plain: LoadServer
    trusted: LoadServer
    untrusted: LoadServer
    closed_port: int
    pictures: tuple[str, ...]


def certified_hosts() -> list[str]:
    """The hosts that need a certificate."""
    return [host_address(number) for number in range(_CERTIFIED_HOSTS)]


def write_pictures(folder: Path) -> tuple[str, ...]:
    """Writes the servers' files; the names of the good pictures."""
    names = []
    for picture in make_corpus("web", 30):
        if max(picture.width, picture.height) <= _MAX_SIDE:
            (folder / picture.name).write_bytes(picture.data)
            names.append(picture.name)
    (folder / "tiny.png").write_bytes(png_of(8, 8, 8, 0, zlib.compress(bytes(8 * 9))))
    (folder / "bomb.png").write_bytes(png_of(30000, 30000, 8, 0, zlib.compress(bytes(1000))))
    return tuple(names)


def make_rows(web: Web, count: int, seed: int) -> list[Row]:
    """Rows in random order, `FAULT_SHARE` of them with a fault, all faults equally often."""
    rng = random.Random(seed)
    kinds = [*_ANSWERS, *_OTHERS]
    faults = round(FAULT_SHARE * count)
    rows = [_make_row(web, kinds[number % len(kinds)], number, rng) for number in range(faults)]
    for number in range(faults, count):
        server, host = _any_server(web, number, rng)
        rows.append(_row("good", server.url(f"/{rng.choice(web.pictures)}?{number}", host), None))
    rng.shuffle(rows)
    return rows


def _make_row(web: Web, kind: str, number: int, rng: random.Random) -> Row:
    picture = rng.choice(web.pictures)
    own = _FIRST_OWN_HOST + number
    host = host_address(own)
    if kind in _ANSWERS:
        name, _, after = kind.partition("?")
        path = f"/fault/{name}/{number}/{picture}" + (f"?{after}" if after else "")
        server, at = _any_server(web, number, rng)
        if name in ("429", "503", "once-429", "drip", "hang", "truncated", "reset"):
            server, at = web.plain, own  # it changes how the host's other rows are treated
        return _row(kind, server.url(path, at), _ANSWERS[kind])
    if kind == "dns":
        return _row(kind, f"http://host-{number}.invalid/{picture}", Reason.DNS)
    if kind == "refused":
        return _row(kind, f"http://{host}:{web.closed_port}/{picture}", Reason.REFUSED)
    if kind == "dead_host":
        return _row(kind, f"http://127.0.0.1:{web.closed_port}/{picture}", Reason.REFUSED, Reason.HOST_DOWN)
    if kind == "untrusted":
        return _row(kind, web.untrusted.url(f"/{picture}", number % _CERTIFIED_HOSTS), Reason.TLS)
    if kind == "wrong_name":
        return _row(kind, web.trusted.url(f"/{picture}", own), Reason.TLS)
    if kind == "no_tls":
        return _row(kind, f"https://{host}:{web.plain.port}/{picture}", Reason.TLS)
    if kind == "tiny":
        return _row(kind, web.plain.url("/tiny.png", own), Reason.TOO_SMALL)
    if kind == "bomb":
        return _row(kind, web.plain.url("/bomb.png", own), Reason.TOO_MANY_PIXELS)
    if kind == "moody":
        path = f"/fault/429/{number}/{picture}?3600" if rng.random() < 0.2 else f"/{picture}?{number}"
        at = _FIRST_MOODY_HOST + rng.randrange(_MOODY_HOSTS)
        return _row(kind, web.plain.url(path, at), None, Reason.HTTP_429)
    return _row(kind, *rng.choice(_REFUSED_URLS))


def _any_server(web: Web, number: int, rng: random.Random) -> tuple[LoadServer, int]:
    """HTTPS on a host that others use too, or HTTP on a host of its own."""
    return (web.trusted, number % _CERTIFIED_HOSTS) if rng.random() < 0.5 else (web.plain, _FIRST_OWN_HOST + number)


def _row(kind: str, url: str, *endings: Reason | None) -> Row:
    return Row(kind, url, frozenset(endings))
