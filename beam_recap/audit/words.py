"""The words that CLIP is shown: the most frequent ones of the captions, or those of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from beam_recap import files
from beam_recap.audit.tally import digest_number
from beam_recap.isolation import describe_error
from beam_recap.ocr.text_rate import words

SAMPLE_ROWS = 20_000
MAX_CAPTION_CHARS = 300
MAX_GRAM_WORDS = 3
MAX_WORD_CHARS = 200  # of a line of the user's file
_MAX_FILE_BYTES = 64 * 2**20


class WordsError(ValueError):
    """A file of words that cannot be used; the message ends a sentence."""


@dataclass(slots=True)
class CaptionSample:
    """The captions of the rows whose ids have the smallest digests: at most `size`, whatever came and in which order.

    Rows of the same id and caption count once, so that one that is repeated a million times is one caption here.
    """

    seed: int
    size: int = SAMPLE_ROWS
    _rows: list[tuple[int, str]] = field(default_factory=list)
    _bound: int | None = None  # digests above it are out

    def add(self, row_id: str, caption: str) -> None:
        """Offers a row."""
        rank = digest_number(f"caption\0{self.seed}\0{row_id}")
        if self._bound is None or rank <= self._bound:
            self._rows.append((rank, caption[:MAX_CAPTION_CHARS]))
            if len(self._rows) >= 2 * self.size:
                self._cut()

    def merge(self, other: CaptionSample) -> None:
        """Offers another sample's rows."""
        self._rows += other._rows
        self._cut()

    def captions(self) -> list[str]:
        """The captions, in an order that depends on the rows alone."""
        self._cut()
        return [caption for _, caption in self._rows]

    def _cut(self) -> None:
        self._rows = sorted(set(self._rows))[: self.size]
        if len(self._rows) == self.size:
            self._bound = self._rows[-1][0]


def frequent_grams(captions: Iterable[str], count: int) -> list[str]:
    """The words and runs of two and three words that are in most captions; of equally many the first by alphabet.

    Words are normalised as for the co-embedded text rate: without upper case and signs.
    """
    seen: Counter[str] = Counter()
    for caption in captions:
        found = words(caption)
        grams = {
            " ".join(found[start : start + length])
            for length in range(1, MAX_GRAM_WORDS + 1)
            for start in range(len(found) - length + 1)
        }
        seen.update(grams)
    return [gram for gram, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:count]]


def read_words(path: str, count: int) -> list[str]:
    """The first words of a file, one per line, each once; blank lines do not count.

    Raises:
      WordsError: it cannot be read, is no UTF-8, is too large, holds no word or one that is too long.
    """
    try:
        with files.open_read(path) as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except Exception as error:  # a file system's own errors
        raise WordsError(f"cannot be read ({describe_error(error)}); give a text file, one word per line") from error
    if len(data) > _MAX_FILE_BYTES:
        raise WordsError(f"has more than {_MAX_FILE_BYTES} bytes; give a shorter list")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise WordsError(f"is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    found = list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
    if not found:
        raise WordsError("holds no word; write one per line")
    for word in found[:count]:
        if len(word) > MAX_WORD_CHARS:
            raise WordsError(f"holds a line of {len(word)} characters; give at most {MAX_WORD_CHARS}")
    return found[:count]
