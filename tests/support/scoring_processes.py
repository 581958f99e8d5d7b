"""A pipeline that scores in two worker processes: ``python -m support.scoring_processes OUTPUT``.

It writes OUTPUT, one JSON object per line: for each score who asked for it, for each load of the model who loaded it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from support.untrained_models import noise_images

from beam_recap.demo import paths
from beam_recap.models.clip_scorer import ClipScorer
from beam_recap.records import Sample
from transforms.score_clip import ClipModel, ScoreCLIP

ROWS = 40


@dataclasses.dataclass(frozen=True, slots=True)
class NotedModel(ClipModel):
    """Notes who loads it."""

    output: str = ""

    def _load(self) -> ClipScorer:
        note(self.output, {"loaded_by": os.getpid()})
        return ClipScorer.load(self.model, self.pretrained, device=self.device, batch_size=self.batch_size)


def note(output: str, what: dict[str, Any]) -> None:
    # Short lines that are appended do not mix.
    with Path(output).open("a") as file:
        file.write(json.dumps(what) + "\n")


def make_rows() -> list[Sample]:
    return [
        Sample(unit="u", index=i, uid=f"uid{i}", key=f"{i:09d}", image=image, caption=f"a picture of {i} stars")
        for i, image in enumerate(noise_images(ROWS))
    ]


def _note_score(sample: Sample, output: str) -> Iterator[None]:
    note(output, {"asked_by": os.getpid(), "index": sample.index, "score": sample.clip_score})
    yield from ()


def main(output: str) -> None:
    options = PipelineOptions(runner="FnApiRunner", direct_num_workers=2, direct_running_mode="multi_processing")
    model = NotedModel(str(paths.CLIP), device="cpu", batch_size=4, per_machine=True, output=output)
    with beam.Pipeline(options=options) as pipeline:
        scored = pipeline | beam.Create(make_rows()) | ScoreCLIP(model)
        scored.kept | beam.FlatMap(_note_score, output=output)


if __name__ == "__main__":
    main(*sys.argv[1:])
