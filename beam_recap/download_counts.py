"""Counts of downloads: by HTTP status, by reason, and by host.

A download is a row with a URL whose picture did not come with it. Rows of a tar whose bytes only had to be decoded are
none, even if they know where they once came from.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from beam_recap.download_status import DECODE_REASONS
from beam_recap.records import Outcome, Reason, Rejection, Stage

NO_HOST = "(no host)"  # rows whose URL names none; no host is called so
MOST_FAILING_HOSTS, MOST_HOSTS = 50, 100  # that the report names
# That a slice keeps for the report on all slices, of either kind. While none has more hosts, that one is exact.
HOSTS_OF_SLICE = 10_000
FETCHED = "fetched"  # beside reasons; no `Reason` is called so

# One host's rows by `Reason`, and those that were fetched under `FETCHED`.
HostCounts = dict[str, int]

# Without an answer, these can only be about bytes that came with the row.
_ABOUT_BYTES = DECODE_REASONS | {Reason.HASH_MISMATCH}

_MAX_HOST_CHARS = 253  # RFC 1035, written with dots
# Underscores are no letters of a host name, yet some hosts on the web have them.
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_IPV6_ADDRESS = re.compile(r"[0-9a-f:.]{2,45}")


@dataclass(frozen=True, slots=True)
class DownloadCounts:
    """Downloads of some rows: each has a status (None: no answer came), and is fetched or failed for one reason.

    ``bytes`` are those of all pictures that came, whether they could be used or not.
    """

    fetched: int = 0
    bytes: int = 0
    by_http_status: Counter[int | None] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.by_http_status.total()

    def __add__(self, other: DownloadCounts) -> DownloadCounts:
        return DownloadCounts(
            self.fetched + other.fetched,
            self.bytes + other.bytes,
            self.by_http_status + other.by_http_status,
            self.by_reason + other.by_reason,
        )


class DownloadCounter:
    """Counts downloads as their outcomes pass. Holds one entry per host among them."""

    def __init__(self) -> None:
        self._fetched = 0
        self._bytes = 0
        self._by_http_status: Counter[int | None] = Counter()
        self._by_reason: Counter[str] = Counter()
        self.by_host: dict[str, HostCounts] = {}

    @property
    def counts(self) -> DownloadCounts:
        """What was counted so far."""
        return DownloadCounts(self._fetched, self._bytes, self._by_http_status.copy(), self._by_reason.copy())

    def add(self, outcome: Outcome) -> None:
        """Counts a row's outcome if the row was to be downloaded."""
        sample = outcome.sample if isinstance(outcome, Rejection) else outcome
        failure = outcome.reason if isinstance(outcome, Rejection) and outcome.stage == Stage.FETCH else None
        if sample.url is None or (isinstance(outcome, Rejection) and outcome.stage == Stage.READ):
            return
        if sample.http_status is None and (failure is None or failure in _ABOUT_BYTES):
            return
        self._by_http_status[sample.http_status] += 1
        self._bytes += sample.download_bytes or 0
        if failure is None:
            self._fetched += 1
        else:
            self._by_reason[str(failure)] += 1
        ending = FETCHED if failure is None else str(failure)
        host = self.by_host.setdefault(host_of(sample.url) or NO_HOST, {})
        host[ending] = host.get(ending, 0) + 1


def host_of(url: str) -> str | None:
    """The host that an ``http`` or ``https`` URL names: lower case, in IDNA, without port, credentials or final dot.

    Returns:
      The name, or an address (IPv6 in brackets); None where the URL is of another kind or names none that could be one.
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removesuffix(".")
        if parts.scheme not in ("http", "https") or "\\" in parts.netloc or len(host) > _MAX_HOST_CHARS:
            return None
        if ":" in host:
            return f"[{host}]" if _IPV6_ADDRESS.fullmatch(host) else None
        if not host.isascii():
            import idna

            host = idna.encode(host, uts46=True).decode("ascii").removesuffix(".")
    except ValueError:  # brackets, characters that no name may have; IDNAError and UnicodeError are ones
        return None
    return host if len(host) <= _MAX_HOST_CHARS and _HOST_NAME.fullmatch(host) else None


def merge_host_counts(into: HostCounts, more: HostCounts) -> HostCounts:
    """Adds one host's counts to others of the same host, in place."""
    for ending, rows in more.items():
        into[ending] = into.get(ending, 0) + rows
    return into


def failed_rows(counts: HostCounts) -> int:
    return sum(rows for ending, rows in counts.items() if ending != FETCHED)


def by_failures(host: tuple[str, HostCounts]) -> tuple[int, str]:
    """Sorts hosts by failed rows, the most first, and equal ones by name."""
    return -failed_rows(host[1]), host[0]


def by_rows(host: tuple[str, HostCounts]) -> tuple[int, str]:
    """Sorts hosts by rows, the most first, and equal ones by name."""
    return -sum(host[1].values()), host[0]


@dataclass(frozen=True, slots=True)
class RankedHosts:
    """Hosts with their counts over all rows: those with the most failed downloads, and those with the most rows."""

    by_failures: tuple[tuple[str, HostCounts], ...] = ()  # without those that never failed
    by_rows: tuple[tuple[str, HostCounts], ...] = ()

    @classmethod
    def of(
        cls, hosts: Iterable[tuple[str, HostCounts]], failing: int = MOST_FAILING_HOSTS, most: int = MOST_HOSTS
    ) -> RankedHosts:
        """The first ``failing`` and ``most`` of some hosts, each of which is there once."""
        hosts = list(hosts)
        failed = (host for host in hosts if failed_rows(host[1]))
        return cls(
            tuple(heapq.nsmallest(failing, failed, key=by_failures)), tuple(heapq.nsmallest(most, hosts, key=by_rows))
        )

    def hosts(self) -> dict[str, HostCounts]:
        """Those of both kinds, each once."""
        return dict(self.by_failures) | dict(self.by_rows)
