"""`Checkpoint` gives thumbnails to the rows that may be shown, kept and rejected ones, before their pixels go."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_recap import checkpoint
from beam_recap.records import Reason, Rejection, Sample, Stage
from transforms.checkpoint import Checkpoint


def _drawn(number: int) -> Sample:
    pixels = np.full((40, 300, 3), number % 256, np.uint8)
    return Sample(unit="u", index=number, uid=str(number), key=str(number), image=pixels)


def _rejected(number: int) -> Rejection:
    return _drawn(number).reject(Stage.OCR, Reason.HAS_TEXT)


def test_thumbnails_are_made_where_outcomes_are_written(tmp_path: Path) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        kept = pipeline | "Numbers" >> beam.Create(range(20)) | "Draw" >> beam.Map(_drawn)
        rejected = pipeline | "More" >> beam.Create(range(20, 40)) | "Reject" >> beam.Map(_rejected)
        {"Kept": kept, "Rejected": rejected} | Checkpoint(str(tmp_path), 1)
    outcomes = checkpoint.read_outcomes(str(tmp_path), "u")
    assert len(outcomes) == 40
    assert all(sample.thumbnail[:2] == b"\xff\xd8" for sample in outcomes[:20])
    # Of one reason the eight lowest are shown; the first rows that come are among the lowest so far.
    pictured = [outcome for outcome in outcomes[20:] if outcome.sample.thumbnail]
    assert 8 <= len(pictured) < 20
