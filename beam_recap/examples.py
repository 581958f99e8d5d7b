"""Which rows the report shows."""

from __future__ import annotations

from beam_recap.records import Outcome, Rejection, Stage

_MOST = 64  # kept, and as many rejected: a page that a person looks through, and a few megabytes at most
_PER_REASON = 8


class Examples:
    """Picks rows for the report: the first ones, with every reason among the rejected."""

    def __init__(self) -> None:
        self._offered = 0
        self._kept: list[tuple[int, Outcome]] = []
        self._by_reason: dict[tuple[Stage, str], list[tuple[int, Outcome]]] = {}

    def offer(self, outcome: Outcome) -> None:
        """Looks at the next row."""
        self._offered += 1
        if isinstance(outcome, Rejection):
            # Only the input's first rows are marked to carry a thumbnail; it stays empty if the picture was never
            # decoded, and it is not marked yet where the row could not even be read.
            if outcome.sample.thumbnail is not None or outcome.stage == Stage.READ:
                same = self._by_reason.setdefault((outcome.stage, outcome.reason), [])
                if len(same) < _PER_REASON:
                    same.append((self._offered, outcome))
        elif outcome.thumbnail and len(self._kept) < _MOST:
            self._kept.append((self._offered, outcome))

    def chosen(self) -> tuple[Outcome, ...]:
        """The picked rows, in the order in which they came."""
        ranked = [(rank, place) for same in self._by_reason.values() for rank, place in enumerate(same)]
        # The first of each reason, then the second of each: no reason crowds out another.
        ranked.sort(key=lambda one: (one[0], one[1][0]))
        places = self._kept + [place for _, place in ranked[:_MOST]]
        return tuple(outcome for _, outcome in sorted(places, key=lambda place: place[0]))
