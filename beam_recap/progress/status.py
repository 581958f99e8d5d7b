"""`Status`: what is shown of a run, worked out from its counts over time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from beam_recap.costs import COSTED
from beam_recap.progress.counts import Counts
from beam_recap.progress.phases import Phase
from beam_recap.progress.totals import NO_STREAMS, Streams, Total, total_of

RATE_S = 30.0  # that rates are of
_LONGEST_RATE_S = 600.0  # for the time that is left, of a quarter of the run at most
_SETTLE_S = 2.0  # within which all worker processes have told of the units that they planned


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A stage's rows per second of wall time, lately (None: too early), and milliseconds of a thread per row so far."""

    stage: str
    rows_per_s: float | None
    ms_per_row: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A run at a moment.

    Attributes:
      done: rows with an outcome, of earlier attempts too.
      resumed: of them those of earlier attempts, as far as known.
      kept: by this attempt.
      rejected: by this attempt, by reason.
      rows_per_s: lately; None where it is too early to tell.
      left_s: seconds until all rows are done; None where that cannot be told. With ``left_at_most`` some of the rows
        that are left may have been done before.
      elapsed_s: since the run began.
    """

    phase: Phase
    done: int
    resumed: int
    kept: int
    rejected: Counter[str]
    total: Total
    rows_per_s: float | None
    left_s: float | None
    left_at_most: bool
    stages: tuple[StageStatus, ...]
    fetched_bytes: int
    bytes_per_s: float | None
    elapsed_s: float


class History:
    """Remembers counts, for rates.

    Args:
      clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._began = clock()
        self._rows_began: float | None = None
        self._seen: deque[tuple[float, Counts]] = deque()

    def see(
        self,
        counts: Counts,
        phase: Phase,
        *,
        streams: Streams = NO_STREAMS,
        done_before: int | None = 0,
        in_processes: bool = False,
    ) -> Status:
        """Takes counts, and tells what they say.

        Args:
          counts: of all processes.
          phase: of the run.
          streams: what `SideCount` has counted.
          done_before: likewise; None: not known.
          in_processes: counts come from worker processes, each at its own time.
        """
        now = self._clock()
        if self._rows_began is None and counts.begun_units:
            self._rows_began = now
        if self._rows_began is not None:
            self._remember(now, counts)
        resumed = max(counts.skipped, done_before or 0)
        settled = self._rows_began is not None and (
            not in_processes or now - self._rows_began > _SETTLE_S or phase is not Phase.ROWS
        )
        total = total_of(counts, streams) if settled else Total()
        done = counts.rows + resumed
        if total.rows is not None and done > total.rows:
            total = Total()
        rate = self._rate(now, RATE_S, lambda then: counts.rows - then.rows)
        left = None
        if phase is Phase.ROWS and total.rows is not None:
            elapsed = now - (self._rows_began or now)
            steady = self._rate(
                now, min(_LONGEST_RATE_S, max(RATE_S, elapsed / 4)), lambda then: counts.rows - then.rows
            )
            if steady:
                left = (total.rows - done) / steady
        return Status(
            phase=phase,
            done=done,
            resumed=resumed,
            kept=counts.kept,
            rejected=counts.rejected,
            total=total,
            rows_per_s=rate,
            left_s=left,
            left_at_most=done_before is None and resumed > 0,
            stages=self._stages(now, counts),
            fetched_bytes=counts.fetched_bytes,
            bytes_per_s=self._rate(now, RATE_S, lambda then: counts.fetched_bytes - then.fetched_bytes),
            elapsed_s=now - self._began,
        )

    def _remember(self, now: float, counts: Counts) -> None:
        # One a second is enough, and the first.
        if not self._seen or now - self._seen[-1][0] >= 1:
            self._seen.append((now, counts))
        while self._seen and now - self._seen[0][0] > _LONGEST_RATE_S:
            self._seen.popleft()

    def _rate(self, now: float, seconds: float, since: Callable[[Counts], float]) -> float | None:
        then = next(((at, seen) for at, seen in self._seen if now - at <= seconds), None)
        if then is None or now - then[0] < 1:
            return None
        return since(then[1]) / (now - then[0])

    def _stages(self, now: float, counts: Counts) -> tuple[StageStatus, ...]:
        found = []
        for number, stage in enumerate(COSTED):
            rows = counts.stage_rows[number]
            if rows:
                rate = self._rate(now, RATE_S, lambda then, n=number: counts.stage_rows[n] - then.stage_rows[n])
                found.append(StageStatus(str(stage), rate, 1000 * counts.stage_seconds[number] / rows))
        return tuple(found)
