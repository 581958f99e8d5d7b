"""A pipeline of one's own: reads rows, drops blurred pictures, scores the rest, and writes Parquet.

``python -m docs.examples.keep_sharp_pictures --input=photos.txt --output=sharp-photos``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam

from beam_recap.demo import paths
from beam_recap.fetch import FetchSettings
from beam_recap.schemas import Provenance
from docs.examples.sharpness_filter import SharpnessFilter
from pipelines.local_runner import LocalRunner
from transforms.checkpoint import Checkpoint, CheckpointedRows
from transforms.fetch_image import FetchImage
from transforms.read_shards import ReadShards
from transforms.score_clip import ClipModel, ScoreCLIP
from transforms.write_parquet import WriteParquet


def parse_flags(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m docs.examples.keep_sharp_pictures")
    parser.add_argument("--input", required=True, help="Shards, as pipelines.recap takes them.")
    parser.add_argument("--output", required=True, type=Path, help="A new directory.")
    parser.add_argument("--min_sharpness", type=float, default=100.0, help="Keep pictures that are sharper.")
    parser.add_argument("--clip_model", default=str(paths.CLIP), help="An open_clip name, or a folder.")
    parser.add_argument("--clip_pretrained", help="The weights' tag, where the model is a name.")
    return parser.parse_args(argv)


def build_pipeline(root: beam.Pipeline, flags: argparse.Namespace) -> None:
    """Adds the job to a pipeline."""
    clip = ClipModel(flags.clip_model, flags.clip_pretrained)
    read = root | ReadShards([flags.input])
    fetched = read.kept | FetchImage(FetchSettings(allow_local_files=True))
    sharp = fetched.kept | SharpnessFilter(flags.min_sharpness)
    scored = sharp.kept | ScoreCLIP(clip)
    # Every row that ends, kept or not, goes to the checkpoint; WriteParquet refuses to write if one is missing.
    ends = {
        "Kept": scored.kept,
        "Unread": read.rejected,
        "Unfetched": fetched.rejected,
        "Blurred": sharp.rejected,
        "Unscored": scored.rejected,
    }
    done = CheckpointedRows(read.units, ends | Checkpoint(str(flags.output), attempt=1))
    names = Provenance(flags.clip_model, aesthetic_model=None, ocr_engine=None, captioner=None, config_digest="")
    done | WriteParquet(
        str(flags.output), schema="datacomp", extra_columns=True, provenance=names, rows_per_file=100_000
    )


def main(argv: Sequence[str]) -> None:
    flags = parse_flags(argv)
    if flags.output.exists():
        raise SystemExit(f"--output={flags.output}: is there already; give a new directory")
    with beam.Pipeline(runner=LocalRunner()) as pipeline:
        build_pipeline(pipeline, flags)


if __name__ == "__main__":
    main(sys.argv[1:])
