"""Faults of Google Cloud Storage for `GcsApi.fault`: some now and then, or one at a moment."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from support.gcs_answers import CUT, LOST

_BUSY = (503, 429)
_FAULTS = {"download": (*_BUSY, CUT), "chunk": (*_BUSY, CUT, LOST), "batch": (*_BUSY, CUT, LOST)}


class NowAndThen:
    """Faults of chance: every fault of every kind of request at least once, never two at a request in a row.

    Args:
      share: of requests that meet a fault, besides the first ones.

    Attributes:
      met: faults so far, by kind of request and fault.
    """

    def __init__(self, share: float, seed: int = 0) -> None:
        self.met: Counter[tuple[str, int]] = Counter()
        self._share = share
        self._random = random.Random(seed)
        self._spared: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, request: str) -> int:
        kind = request.split(" ", 1)[0]
        with self._lock:
            if request in self._spared:
                self._spared.discard(request)
                return 0
            known = _FAULTS.get(kind, _BUSY)
            fault = next((fault for fault in known if not self.met[kind, fault]), 0)
            if not fault and self._random.random() < self._share:
                fault = self._random.choice(known)
            if fault:
                self._spared.add(request)
                self.met[kind, fault] += 1
            return fault

    def missing(self, kinds: str) -> set[tuple[str, int]]:
        """Faults that kinds of requests, separated by blanks, have not met."""
        return {(kind, fault) for kind in kinds.split() for fault in _FAULTS.get(kind, _BUSY)} - set(self.met)


class AtOnce:
    """Does something once, when a request comes for the n-th time that begins and contains so; it is not carried out.

    Args:
      start: how it begins: its kind, and the path as far as it matters.
      part: what else is in it.
      act: what to do.
      number: which of those requests, from 1.
    """

    def __init__(self, start: str, part: str, act: Callable[[], object], number: int = 1) -> None:
        self.done = False
        self._wanted = (start, part)
        self._act = act
        self._left = number
        self._lock = threading.Lock()

    def __call__(self, request: str) -> int:
        start, part = self._wanted
        with self._lock:
            if self.done:
                return 503  # nobody is there to ask again
            if not request.startswith(start) or part not in request:
                return 0
            self._left -= 1
            if self._left:
                return 0
            self.done = True
            self._act()
            return 503
