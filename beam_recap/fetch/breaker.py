"""Circuit breakers: hosts that cannot be reached are left alone for a while, so that their rows cost nothing."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

# A dead host costs eight connections and not one per row. A host that drops every fifth connection is cut off by
# mistake once in 0.2 ** -8 = 390,000 runs of eight; and with three tries per row, three rows must fail before it is.
FAILURES_TO_OPEN = 8

FIRST_COOL_DOWN_S = 60.0  # a restart or a short outage is over by then
MAX_COOL_DOWN_S = 600.0  # the cool-down doubles with every failed probe up to this

# About 30 MB. The web has more dead hosts than that; one that was forgotten costs eight more tries.
MAX_REMEMBERED_HOSTS = 100_000


@dataclass(slots=True)
class _Record:
    failures: int = 0  # in a row
    cool_down_s: float = 0.0  # 0: closed
    until: float = 0.0  # the end of the cool-down


class Breakers:
    """One breaker per host.

    Closed at first; open after `FAILURES_TO_OPEN` failures in a row, until its cool-down is over; then half-open, which
    the next answer closes and the next failure ends with a longer cool-down.

    Args:
      max_hosts: hosts with failures that are remembered; the one that was asked about least lately is forgotten.
    """

    def __init__(self, max_hosts: int = MAX_REMEMBERED_HOSTS) -> None:
        self._max_hosts = max_hosts
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def succeeded(self, host: str) -> bool:
        """Closes the breaker and forgets the failures. True if it was open or half-open."""
        record = self._records.pop(host, None)
        return record is not None and record.cool_down_s > 0

    def failed(self, host: str, now: float) -> bool:
        """Counts a failure at the time `now`. True if the breaker opened, for the first time or again.

        Failures while it is open are those of requests that were under way, and change nothing.
        """
        record = self._records.get(host)
        if record is None:
            record = self._records[host] = _Record()
            if len(self._records) > self._max_hosts:
                self._records.popitem(last=False)
        self._records.move_to_end(host)
        record.failures += 1
        if record.cool_down_s == 0:
            if record.failures < FAILURES_TO_OPEN:
                return False
            record.cool_down_s = FIRST_COOL_DOWN_S
        elif now < record.until:
            return False
        else:
            record.cool_down_s = min(2 * record.cool_down_s, MAX_COOL_DOWN_S)
        record.until = now + record.cool_down_s
        return True

    def open_until(self, host: str) -> float | None:
        """The end of the cool-down, which may lie in the past (half-open); None if the breaker is closed."""
        record = self._records.get(host)
        if record is None or record.cool_down_s == 0:
            return None
        self._records.move_to_end(host)
        return record.until
