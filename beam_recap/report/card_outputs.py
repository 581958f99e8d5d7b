"""The card's words on what is beside the Parquet files: pictures in tars, and mixed captions."""

from __future__ import annotations

from beam_recap.caption_mix import CaptionMix
from beam_recap.report.facts import RunFacts

_OPEN = """```python
import json
import webdataset

shards = webdataset.WebDataset("PATH/webdataset/FIRST_SHARD", shardshuffle=False)
for key, picture, caption, row in shards.decode("pil").to_tuple("__key__", "jpg", "txt", "json"):
    print(key, picture.size, caption, row["sha256"])
```"""


def has_pictures(facts: RunFacts) -> bool:
    """Whether there are tars."""
    return "webdataset" in facts.config["output_format"]


def pictures_section(facts: RunFacts, first_shard: str) -> str:
    """How to open the tars; empty where there are none.

    Args:
      facts: what was known when the run started.
      first_shard: the name of a tar.
    """
    if not has_pictures(facts):
        return ""
    return (
        "## Pictures\n\n"
        "`webdataset/` holds one tar for each file of `data/`, with the same rows in the same order: `KEY.jpg` (JPEG, "
        f"quality 95, resized by `--resize_mode={facts.config['resize_mode']}` to `--image_size="
        f"{facts.config['image_size']}`), `KEY.txt` (the caption, empty where there is none) and `KEY.json` (the row, "
        "under img2dataset's names where it has one). A key is the row's own where it is plain and not yet in the tar; "
        "`source_key` is always the row's. They are copies of their owners' pictures; licences were not checked. "
        "`load_dataset` reads `data/` only.\n\n" + _OPEN.replace("FIRST_SHARD", first_shard.rsplit("/", 1)[-1])
    )


def mix_section(facts: RunFacts) -> str:
    """How captions were mixed; empty where they were not."""
    mix = CaptionMix.of_flags(facts.config)
    if mix is None:
        return ""
    return (
        f"## Mixed captions\n\n`mixed_caption` is a row's original caption with probability {mix.share:g}, else its "
        "new one; where one is missing, the other. The choice goes by the row's uid and a seed:\n\n"
        "```python\n"
        f'digest = hashlib.blake2b(f"caption_mix\\0{mix.seed}\\0{{uid}}".encode(), digest_size=8).digest()\n'
        f'takes_original = int.from_bytes(digest, "big") < {mix.share!r} * 2**64\n'
        "```"
    )
