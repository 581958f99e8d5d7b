"""Which of a row's two captions a training text takes: the original one with probability P, else the new one.

Source: Recap-DataComp-1B (arXiv 2406.08478), which trains CLIP on such mixes: P = 0.8 gave its best zero-shot
classification together with better retrieval (B/16, P = 1.0 / 0.8 / 0.5 / 0.0: ImageNet 69.7 / 69.2 / 67.2 / 36.0 %,
COCO image to text 57.3 / 61.5 / 61.9 / 53.0 %).

The choice repeats: it depends on the row's uid and a seed alone, and others can make it in three lines of Python::

    digest = hashlib.blake2b(f"caption_mix\\0{seed}\\0{uid}".encode(), digest_size=8).digest()
    takes_original = int.from_bytes(digest, "big") < P * 2**64
    caption = (original or new) if takes_original else (new or original)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from beam_recap.records import Sample

ORIGINAL = "original"
NEW = "new"


class MixedCaption(NamedTuple):
    """A caption and which of the two it is, ``original`` or ``new``; both None where the row has neither."""

    text: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class CaptionMix:
    """A way to choose.

    Attributes:
      share: P, the probability of the original caption, in [0, 1].
      seed: another one chooses anew.

    Raises:
      ValueError: a share out of range.
    """

    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share must be in [0, 1], not {self.share}")

    @classmethod
    def of_flags(cls, config: Mapping[str, Any]) -> CaptionMix | None:
        """What ``--caption_mix`` and ``--caption_mix_seed`` ask for, by name in a mapping; None without the first."""
        share = config["caption_mix"]
        return None if share is None else cls(share, config["caption_mix_seed"])

    def takes_original(self, uid: str) -> bool:
        """Whether a row with both captions gets its original one. A larger share takes it in the same rows and more."""
        # Its own first word, so that the choice has nothing to do with that of rows to be judged.
        text = f"caption_mix\0{self.seed}\0{uid}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") < self.share * 2**64

    def choose(self, sample: Sample) -> MixedCaption:
        """The row's caption. Where one of the two is missing (null) it is the other."""
        captions = [MixedCaption(sample.caption, ORIGINAL), MixedCaption(sample.recaption, NEW)]
        if not self.takes_original(sample.uid):
            captions.reverse()
        return next((caption for caption in captions if caption.text is not None), MixedCaption(None, None))


# The new caption, or the original one of a row without: what a run without --caption_mix means by "the caption".
NEWEST = CaptionMix(0.0)
