"""The flags of what is worked out once every row has an outcome: clusters and de-duplication."""

from __future__ import annotations

from beam_recap.flag import PRESET_VALUE, Flag
from beam_recap.flag_values import boolean, integer, number, or_none, text

_SIMILARITY = number(0.5, 1, "give a cosine from 0.5 to 1, or none")

# None of them decides an outcome in the checkpoint, as long as embeddings are in it: they can be changed, and the same
# command run again.
CURATION_FLAGS: tuple[Flag, ...] = (
    Flag(
        "clusters",
        "curate",
        "none",
        or_none(text),
        "Folder of a cluster model (python -m pipelines.cluster makes one): rows get its labels, and near duplicates "
        "are looked for inside a cluster. none: no labels, all rows are one cluster.",
        False,
    ),
    Flag(
        "drop_duplicate_rows",
        "curate",
        PRESET_VALUE,
        boolean,
        "Of rows with the same URL and caption keep the best: by similarity, then aesthetic score.",
        False,
    ),
    Flag(
        "drop_duplicate_images",
        "curate",
        PRESET_VALUE,
        boolean,
        "Of rows with the same image bytes keep the best.",
        False,
    ),
    Flag(
        "near_duplicate_similarity",
        "curate",
        PRESET_VALUE,
        or_none(_SIMILARITY),
        "Of rows of a cluster whose image embeddings are linked by cosines of at least this keep the best; none: keep "
        "all. Without --clusters every row is compared with every other.",
        False,
    ),
    Flag(
        "max_same_image",
        "curate",
        "none",
        or_none(integer(1, 10**9)),
        "Reject placeholders: image bytes that come with more different captions than this.",
        False,
    ),
    Flag(
        "max_same_caption",
        "curate",
        "none",
        or_none(integer(1, 10**9)),
        "Reject spam: a caption that comes with more different images than this.",
        False,
    ),
    Flag(
        "save_embeddings",
        "curate",
        "false",
        boolean,
        "Also write OUTPUT/embeddings/*.npy: the kept rows' image embeddings, float16, row by row as in data/.",
    ),
)
