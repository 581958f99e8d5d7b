"""A pipeline that captions in two worker processes: ``python -m support.captioning_processes MODEL OUTPUT``.

It writes OUTPUT, one JSON object per line: for each caption who asked for it, for each load of the model who loaded it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from support.untrained_models import noise_images

from beam_recap.records import Outcome, Sample
from transforms.llava_model_handler import LlavaModelHandler

ROWS = 40
BATCH_SIZE = 2  # rows come in calls of eight


class NotedHandler(LlavaModelHandler):
    """Notes what it does, and where."""

    def __init__(self, output: Path, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        self._output = output

    def load_model(self) -> Any:
        self._note({"loaded_by": os.getpid()})
        return super().load_model()

    def run_inference(self, batch: Sequence[Sample], model: Any, inference_args: Any = None) -> list[Outcome]:
        outcomes = super().run_inference(batch, model, inference_args)
        for outcome in outcomes:
            assert isinstance(outcome, Sample)
            self._note({"asked_by": os.getpid(), "index": outcome.index, "recaption": outcome.recaption})
        return outcomes

    def _note(self, what: dict[str, Any]) -> None:
        # Short lines that are appended do not mix.
        with self._output.open("a") as file:
            file.write(json.dumps(what) + "\n")


def make_rows() -> list[Sample]:
    return [
        Sample(unit="u", index=i, uid=f"uid{i}", key=f"{i:09d}", image=image)
        for i, image in enumerate(noise_images(ROWS))
    ]


def main(model: str, output: str) -> None:
    options = PipelineOptions(runner="FnApiRunner", direct_num_workers=2, direct_running_mode="multi_processing")
    settings = {"device": "cpu", "max_new_tokens": 8, "batch_size": BATCH_SIZE, "model_copies": 1}
    with beam.Pipeline(options=options) as pipeline:
        pipeline | beam.Create(make_rows()) | RunInference(NotedHandler(Path(output), model, **settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
