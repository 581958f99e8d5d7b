"""What a robots.txt allows (RFC 9309), and for how long that is remembered.

The groups are chosen here, and only the chosen one's rules are given to protego, which matches them with URLs. protego
would also read the groups of all others, in time quadratic in their number; and it takes `User-agent: beam` for
`beam-recap`, where the RFC wants the whole product token.

`Crawl-delay` is no part of the RFC and is not obeyed: a stranger could hold up a run with it. The flags for places and
requests per host are what spares servers.
"""

from __future__ import annotations

import codecs
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from protego import Protego

# RFC 9309, 2.5: "the parsing limit MUST be at least 500 kibibytes".
MAX_ROBOTS_BYTES = 500 * 1024

# RFC 9309, 2.4: "SHOULD NOT use the cached version for more than 24 hours".
CACHE_S = 86400.0

MAX_ORIGINS = 10_000
MAX_CACHE_BYTES = 128 * 2**20

# How long one URL takes with the worst file: a rule with wildcards costs up to 15 microseconds with 4,000 characters,
# other rules and each further "*" up to 0.2. Thus 20,000 cost up to 0.05 s, and the files of large sites, which have
# some hundreds of rules, a tenth of a millisecond.
_MAX_WORK = 20_000
_WILDCARD_WORK = 5

_RULE_BYTES = 750  # of memory that protego takes per rule, as measured

# Misspellings and missing colons as Google's parser forgives them.
_LINE = re.compile(
    r"(?:(?P<agent>user[- ]?agent)|(?P<allow>allow)|(?P<disallow>dis+al+ow|diasllow|disallaw))"
    r"(?:\s*:\s*|\s+|$)(?P<value>.*)",
    re.IGNORECASE | re.ASCII,
)
_TOKEN = re.compile(r"[a-z0-9_.-]*")  # of the RFC, and what `FetchSettings.agent` may have besides

_STARS = re.compile(r"\*+")

Entry = TypeVar("Entry")


class RobotsRules:
    """What the robots.txt of one origin says to one agent.

    Args:
      matcher: the rules, for everybody.
      otherwise: what holds where there is no matcher.

    Attributes:
      size: about how many bytes of memory it takes.
    """

    __slots__ = ("_matcher", "_otherwise", "size")

    def __init__(self, matcher: Protego | None = None, *, otherwise: bool = True, size: int = 0) -> None:
        self._matcher = matcher
        self._otherwise = otherwise
        self.size = size

    def allows(self, url: str) -> bool:
        """Whether a URL of the origin may be fetched.

        Args:
          url: as `urls.read_url` writes it. One that cannot be read is not allowed.
        """
        if self._matcher is None:
            return self._otherwise
        try:
            return self._matcher.can_fetch(url, "*")
        except ValueError:
            return False


ALLOW_ALL = RobotsRules()
DISALLOW_ALL = RobotsRules(otherwise=False)


class _Group:
    """The rules of all groups for one agent."""

    def __init__(self) -> None:
        self.is_there = False
        self.lines: dict[str, None] = {}  # in order, each once
        self._work = 0

    @property
    def is_too_large(self) -> bool:
        return self._work > _MAX_WORK

    def add_rule(self, kind: str, pattern: str) -> None:
        pattern = _STARS.sub("*", pattern)
        line = f"{kind}: {pattern}"
        stars = pattern.count("*")
        if self.is_too_large or line in self.lines:
            return
        self.lines[line] = None
        self._work += _WILDCARD_WORK + stars if stars or "$" in pattern else 1

    def rules(self) -> RobotsRules:
        if self.is_too_large:
            return DISALLOW_ALL
        if not self.lines:
            return ALLOW_ALL
        text = "\n".join(["User-agent: *", *self.lines])
        size = len(text) + _RULE_BYTES * len(self.lines)
        return RobotsRules(_match(text), size=size)


def parse_robots(body: bytes, agent: str) -> RobotsRules:
    """Reads a robots.txt. Never raises: what is no line of a robots.txt is passed over.

    Args:
      body: any bytes; those after `MAX_ROBOTS_BYTES` are passed over, as is a line that they cut in two.
      agent: the product token, case-insensitive.

    Returns:
      The rules of the groups for the agent; else of those for "*"; else `ALLOW_ALL`. Where there are so many that
      matching them would take too long, `DISALLOW_ALL`.
    """
    own, everybody = _Group(), _Group()
    agent = agent.lower()
    current: list[_Group] = []
    in_agents = False
    for line in _decode(body).splitlines():
        match = _LINE.match(line.partition("#")[0].strip())
        if match is None:
            continue
        value = match["value"]
        if match["agent"]:
            if not in_agents:
                current = []
            in_agents = True
            group = own if _token(value) == agent else everybody if _is_everybody(value) else None
            if group is not None and group not in current:
                group.is_there = True
                current.append(group)
        else:
            in_agents = False
            for group in current if value else ():
                group.add_rule("Allow" if match["allow"] else "Disallow", value)
    return (own if own.is_there else everybody).rules()


def rules_for_status(status: int) -> RobotsRules | None:
    """What the HTTP status of a robots.txt means by itself.

    Returns:
      `ALLOW_ALL` for 4xx ("unavailable", RFC 9309, 2.3.1.3) and for a redirect that was not followed (2.3.1.2). None
      for 2xx, where the body decides, and for 429, 5xx and anything else: the file is "unreachable" (2.3.1.4), and
      nothing may be fetched for now.
    """
    return ALLOW_ALL if 300 <= status <= 499 and status != 429 else None


class RobotsCache(Generic[Entry]):
    """Remembers what was learned of origins, and forgets the least lately used.

    Args:
      max_origins: origins that are remembered.
      max_bytes: memory that their rules may take. A single one may take more.
      clock: the time in seconds.
    """

    def __init__(
        self,
        max_origins: int = MAX_ORIGINS,
        *,
        max_bytes: int = MAX_CACHE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_origins = max_origins
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[Entry, float, int]] = OrderedDict()  # with end and size
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, origin: str) -> Entry | None:
        """What was put for an origin, if it is still good."""
        entry = self._entries.get(origin)
        if entry is None:
            return None
        if entry[1] <= self._clock():
            self._drop(origin)
            return None
        self._entries.move_to_end(origin)
        return entry[0]

    def put(self, origin: str, rules: Entry, *, ttl_s: float = CACHE_S) -> None:
        """Remembers something for an origin, for `ttl_s` seconds."""
        self._drop(origin)
        size = rules.size if isinstance(rules, RobotsRules) else 0
        self._entries[origin] = rules, self._clock() + ttl_s, size
        self._bytes += size
        while len(self._entries) > self._max_origins or (self._bytes > self._max_bytes and len(self._entries) > 1):
            self._drop(next(iter(self._entries)))

    def _drop(self, origin: str) -> None:
        entry = self._entries.pop(origin, None)
        if entry is not None:
            self._bytes -= entry[2]


def robots_url(url: str) -> str:
    """Where the robots.txt for a URL (as `urls.read_url` writes it) lies."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"


def origin_of(url: str) -> str:
    """The origin of a URL (as `urls.read_url` writes it), with its port: "https://example.org:443"."""
    parts = urlsplit(url)
    if parts.port is not None:
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}://{parts.netloc}:{443 if parts.scheme == 'https' else 80}"


def _decode(body: bytes) -> str:
    is_cut = len(body) >= MAX_ROBOTS_BYTES
    body = body[:MAX_ROBOTS_BYTES]
    is_utf16 = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = body.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")
    return text[: max(text.rfind("\n"), text.rfind("\r")) + 1] if is_cut else text


def _token(value: str) -> str:
    match = _TOKEN.match(value.lower())
    return match[0] if match else ""


def _is_everybody(value: str) -> bool:
    return value.split(maxsplit=1)[:1] == ["*"]


def _match(text: str) -> Protego:
    from protego import Protego

    return Protego.parse(text)
