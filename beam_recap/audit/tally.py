"""Sums over rows, in whole numbers: the same for any order of the rows and any number of workers.

A tally is split into buckets by a digest of the rows' ids, so that confidence intervals can be drawn from it afterwards
(`intervals.bootstrap`) without any row being kept. Rates are summed in units of 2^-30.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from beam_recap.audit.observation import Finding, Observation

RATE_UNIT = 2**30  # a thousand million rows of rate 1 stay below 2^63
HISTOGRAM_BINS = 10
RATES = ("strict", "normalised", "fuzzy")

_WORD_FIELDS = tuple(
    f"{kind}_{what}" for kind in ("strict", "plain") for what in ("captions", "text_captions", "words", "text_words")
)
_RATE_FIELDS = tuple(f"{rate}_{what}" for rate in RATES for what in ("sum", "common", "parrots"))
_BIN_FIELDS = tuple(f"bin_{number}" for number in range(HISTOGRAM_BINS))
FIELDS = (
    "judged",
    "with_text",
    "unreadable",  # with text of which nothing could be read
    "incomplete",  # with text that was not read to its end
    "without_caption",
    "without_words",  # a caption of signs only
    *_WORD_FIELDS,
    *_RATE_FIELDS,
    *_BIN_FIELDS,  # normalised rates of captions of pictures with text
)
PLACES = {name: place for place, name in enumerate(FIELDS)}


@dataclass(slots=True)
class Tally:
    """Sums of rows.

    Attributes:
      rows: all of them.
      problems: those that were not judged, by why.
      buckets: sums over the judged ones: int64 ``[len(FIELDS)]`` per bucket.
    """

    rows: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    buckets: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, row: Observation, bucket: int) -> None:
        """Counts a row."""
        self.rows += 1
        if row.finding is None:
            self.problems[row.problem or "unknown"] += 1
            return
        values = finding_values(row.finding, has_caption=row.caption is not None)
        if bucket in self.buckets:
            self.buckets[bucket] += values
        else:
            self.buckets[bucket] = values

    def merge(self, other: Tally) -> None:
        """Takes in another's rows."""
        self.rows += other.rows
        self.problems.update(other.problems)
        for bucket, values in other.buckets.items():
            if bucket in self.buckets:
                self.buckets[bucket] = self.buckets[bucket] + values
            else:
                self.buckets[bucket] = values.copy()

    def sums(self) -> dict[str, int]:
        """The sums over all buckets, by field."""
        total = sum(self.buckets.values(), np.zeros(len(FIELDS), np.int64))
        return {name: int(total[place]) for name, place in PLACES.items()}

    def table(self) -> np.ndarray:
        """The buckets that hold rows, in their order: int64 ``[buckets, len(FIELDS)]``."""
        rows = [self.buckets[bucket] for bucket in sorted(self.buckets)]
        return np.stack(rows) if rows else np.zeros((0, len(FIELDS)), np.int64)


def bucket_of(row_id: str, seed: int, buckets: int) -> int:
    """The bucket of a row, from 0, by a digest of its id: equal ids share one."""
    return digest_number(f"bucket\0{seed}\0{row_id}") % buckets


def digest_number(text: str) -> int:
    """64 bits that look drawn at random, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def finding_values(finding: Finding, *, has_caption: bool) -> np.ndarray:
    """What one judged row adds to each field: int64 ``[len(FIELDS)]``."""
    values = np.zeros(len(FIELDS), np.int64)
    has_text, overlap = finding.has_text, finding.overlap

    def put(name: str, value: int) -> None:
        values[PLACES[name]] = value

    put("judged", 1)
    put("with_text", has_text)
    put("unreadable", has_text and not finding.ocr_text)
    put("incomplete", has_text and not finding.complete)
    put("without_caption", not has_caption)
    put("without_words", has_caption and overlap.rates.normalised is None)
    for kind, words, rate in (
        ("strict", overlap.strict_words, overlap.rates.strict),
        ("plain", overlap.words, overlap.rates.normalised),
    ):
        if rate is not None:
            put(f"{kind}_captions", 1)
            put(f"{kind}_words", words)
            put(f"{kind}_text_captions", has_text)
            put(f"{kind}_text_words", words if has_text else 0)
    for name in RATES:
        rate = getattr(overlap.rates, name)
        if rate is not None:
            put(f"{name}_sum", round(rate * RATE_UNIT))
            # A rate is a share of so many words, so this is a whole number but for the last bit.
            put(f"{name}_common", round(rate * (overlap.strict_words if name == "strict" else overlap.words)))
            put(f"{name}_parrots", rate > 0)
    if has_text and overlap.rates.normalised is not None:
        number = min(int(overlap.rates.normalised * HISTOGRAM_BINS), HISTOGRAM_BINS - 1)
        put(f"bin_{number}", 1)
    return values
