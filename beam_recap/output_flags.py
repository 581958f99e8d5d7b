"""The flags of what is written beside the Parquet files: tars of pictures, and captions mixed for training."""

from __future__ import annotations

from beam_recap.flag import Flag
from beam_recap.flag_values import integer, number, one_and_more, or_none

OUTPUT_FLAGS: tuple[Flag, ...] = (
    Flag(
        "output_format",
        "output",
        "parquet",
        one_and_more(
            "parquet", ("webdataset",), "Parquet is always written, because the card and what comes after read it"
        ),
        "parquet, or parquet,webdataset: also OUTPUT/webdataset/*.tar, one for each file of data/, with the picture as "
        "resized (JPEG), its caption and its columns (JSON) per kept row, as img2dataset lays them out.",
    ),
    # Neither decides an outcome: both may be changed, and the same command run again.
    Flag(
        "caption_mix",
        "output",
        "none",
        or_none(number(0, 1, "give the probability of the original caption, from 0 to 1, or none")),
        "Mix both captions for training: each row's original one with this probability, else its new one, as columns "
        "mixed_caption and mixed_caption_source, and as the tars' texts. It goes by uid and seed, so that it repeats. "
        "The paper's best is 0.8. none: the tars have the new caption, or the original one of a row without.",
        False,
    ),
    Flag("caption_mix_seed", "output", "0", integer(0, 2**63 - 1), "Another number mixes captions anew.", False),
)
