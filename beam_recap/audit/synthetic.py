"""The synthetic-text score: how close CLIP puts the picture of a word to the word."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from beam_recap.audit.draw_words import STYLES

_UNIT = 2**40  # cosines are summed as whole numbers of it: in any order the same


@dataclass(slots=True)
class _Moments:
    """Sums of cosines and of their squares, in units of 2^-40."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += round(value * _UNIT)
        self.squares += round(value * value * _UNIT)

    def merge(self, other: _Moments) -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def figures(self) -> dict[str, Any]:
        if not self.count:
            return {"pictures": 0, "mean": None, "std": None}
        mean = self.total / self.count / _UNIT
        variance = self.squares / self.count / _UNIT - mean * mean
        return {"pictures": self.count, "mean": mean, "std": math.sqrt(max(variance, 0.0))}


@dataclass(slots=True)
class WordScores:
    """Sums over words.

    Attributes:
      offered: words that were to be drawn.
      shrunk: drawn at less than 32 px.
      skipped: words that were not drawn, by why.
      failures: pictures that CLIP could not score, by reason.
      styles: sums of the scored ones by style.
    """

    offered: int = 0
    shrunk: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    styles: dict[str, _Moments] = field(default_factory=dict)

    def add_word(self, *, shrunk: bool = False, problem: str | None = None) -> None:
        """Counts a word that was drawn, or not."""
        self.offered += 1
        self.shrunk += shrunk
        if problem is not None:
            self.skipped[problem] += 1

    def add_score(self, style: str, cosine: float) -> None:
        """Counts a picture's score."""
        self.styles.setdefault(style, _Moments()).add(cosine)

    def merge(self, other: WordScores) -> None:
        """Takes in another's words."""
        self.offered += other.offered
        self.shrunk += other.shrunk
        self.skipped.update(other.skipped)
        self.failures.update(other.failures)
        for style, moments in other.styles.items():
            self.styles.setdefault(style, _Moments()).merge(moments)

    def figures(self) -> dict[str, Any]:
        """JSON values: counts of words, and mean and standard deviation (of all pictures) in all and by style."""
        everything = _Moments()
        for moments in self.styles.values():
            everything.merge(moments)
        return {
            "words": {
                "offered": self.offered,
                "drawn": self.offered - self.skipped.total(),
                "drawn_smaller_to_fit": self.shrunk,
                "not_drawn_by_reason": dict(sorted(self.skipped.items())),
            },
            "pictures_not_scored_by_reason": dict(sorted(self.failures.items())),
            "all": everything.figures(),
            "by_style": {name: self.styles.get(name, _Moments()).figures() for name, _, _ in STYLES},
        }
