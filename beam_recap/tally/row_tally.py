"""`RowTally`: what the report says of rows beyond their outcomes, of one output shard or of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from beam_recap.examples import ChosenExamples, Examples
from beam_recap.records import Outcome, Rejection, Sample
from beam_recap.tally.captions import caption_key, count_words, shown_caption
from beam_recap.tally.distributions import Distributions
from beam_recap.tally.heavy_hitters import HeavyHitters

WORDS_CAPACITY, SHOWN_WORDS = 20_000, 50
CAPTIONS_CAPACITY, SHOWN_CAPTIONS = 5_000, 20
# Both captions of a row.
CAPTIONS: dict[str, Callable[[Sample], str | None]] = {
    "original": lambda sample: sample.caption,
    "new": lambda sample: sample.recaption,
}
# `names.CAPTION_FLAWS`, and whether the captioner was shown the original caption.
FLAGS = ("truncated", "repetition", "refusal", "prompt_echo", "unseen_quotes", "hinted")
_BATCH_ROWS = 1000  # whose words are held at a time


class RowTally:
    """Distributions, frequent words and captions, flags and examples of some rows. Its size is bounded."""

    __slots__ = ("_captions", "_distributions", "_examples", "_flags", "_words", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self._distributions = Distributions()
        self._words = {which: HeavyHitters(WORDS_CAPACITY) for which in CAPTIONS}
        self._captions = {which: HeavyHitters(CAPTIONS_CAPACITY) for which in CAPTIONS}
        self._flags: Counter[str] = Counter()
        self._examples = Examples()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Counts rows."""
        for start in range(0, len(outcomes), _BATCH_ROWS):
            self._add(outcomes[start : start + _BATCH_ROWS])

    def _add(self, outcomes: Sequence[Outcome]) -> None:
        kept = [outcome for outcome in outcomes if not isinstance(outcome, Rejection)]
        rejected = [outcome.sample for outcome in outcomes if isinstance(outcome, Rejection)]
        self.rows += len(outcomes)
        self._distributions.add("kept", kept)
        self._distributions.add("rejected", rejected)
        for which, caption_of in CAPTIONS.items():
            captions = [caption for sample in kept if (caption := caption_of(sample)) is not None]
            self._words[which].add(count_words(captions))
            self._captions[which].add(map(caption_key, captions))
        self._flags.update(chain.from_iterable(map(_flags_of, kept)))
        for outcome in outcomes:
            self._examples.offer(outcome)

    def merge(self, other: RowTally) -> None:
        """Takes in another's rows, and leaves it as it is."""
        self.rows += other.rows
        self._distributions.merge(other._distributions)
        for which in CAPTIONS:
            self._words[which].merge(other._words[which])
            self._captions[which].merge(other._captions[which])
        self._flags.update(other._flags)
        self._examples.merge(other._examples)

    def summary(self) -> dict[str, Any]:
        """The parts of ``summary.json`` by name: numbers only."""
        words = {which: words.most_frequent(SHOWN_WORDS) for which, words in self._words.items()}
        captions = {which: self._repeated(which) for which in CAPTIONS}
        return {
            "distributions": self._distributions.summary(),
            "words": {
                **{which: [{"word": word, "captions": n} for word, n in found] for which, found in words.items()},
                "undercount": _undercounts(self._words),
            },
            "repeated_captions": {
                **{
                    which: [{"caption": shown_caption(key), "rows": rows} for key, rows in found]
                    for which, found in captions.items()
                },
                "undercount": _undercounts(self._captions),
            },
            "flags": {flag: self._flags[flag] for flag in FLAGS},
        }

    def examples(self) -> ChosenExamples:
        """The rows to show."""
        return self._examples.chosen([key for key, _ in self._repeated("new")])

    def _repeated(self, which: str) -> list[tuple[str, int]]:
        return self._captions[which].most_frequent(SHOWN_CAPTIONS, at_least=2)

    def as_json(self) -> dict[str, Any]:
        """All but the examples, as JSON values."""
        return {
            "rows": self.rows,
            "distributions": self._distributions.as_json(),
            "words": {which: words.as_json() for which, words in self._words.items()},
            "captions": {which: captions.as_json() for which, captions in self._captions.items()},
            "flags": dict(self._flags),
        }

    def example_rows(self) -> list[Outcome]:
        """The rows from which `examples` chooses."""
        return self._examples.rows()

    @classmethod
    def of_json(cls, value: dict[str, Any], example_rows: Iterable[Outcome]) -> RowTally:
        """What `as_json` and `example_rows` gave."""
        made = cls()
        made.rows = value["rows"]
        made._distributions = Distributions.of_json(value["distributions"])
        made._words = {which: HeavyHitters.of_json(value["words"][which], WORDS_CAPACITY) for which in CAPTIONS}
        made._captions = {
            which: HeavyHitters.of_json(value["captions"][which], CAPTIONS_CAPACITY) for which in CAPTIONS
        }
        made._flags.update(value["flags"])
        for row in example_rows:
            made._examples.offer(row)
        return made


def _undercounts(counted: dict[str, HeavyHitters]) -> dict[str, int]:
    return {which: counts.undercount for which, counts in counted.items()}


def _flags_of(sample: Sample) -> list[str]:
    flags = [flag for flag in sample.recaption_flags or () if flag != "truncated"]
    if sample.recaption_truncated:
        flags.append("truncated")
    if sample.recaption_hinted:
        flags.append("hinted")
    return flags
