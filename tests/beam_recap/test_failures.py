"""What is said of a failure, by the exception that Beam leaves of it."""

from __future__ import annotations

import pytest

from beam_recap.failures import advice_for, describe_failure, stage_of
from beam_recap.isolation import FatalModelError

OF_WORKER = """Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1498, in process
  File "/x/transforms/score_clip.py", line 116, in process
    scores = self._scorer.score(
             ^^^^^^^^^^^^^^^^^^^
RuntimeError: the model is odd [while running 'ScoreCLIP/Score-ptransform-23']

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/sdk_worker.py", line 298, in _execute
    response = task()
ValueError: CUDA is odd: see below [while running 'ScoreCLIP/Score-ptransform-23']
A further line that says less
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
"""


@pytest.mark.parametrize(
    ("error", "told", "advice"),
    [
        (ValueError("boom"), "failed (ValueError: boom)", ""),
        (KeyError("a"), "failed (KeyError: 'a')", ""),
        (
            ValueError("boom [while running 'OCRFilter/Spot-ptransform-7']"),
            "failed (ValueError: boom) in the stage OCRFilter",
            "",
        ),
        (RuntimeError(OF_WORKER), "failed (ValueError: CUDA is odd: see below) in the stage ScoreCLIP", ""),
        (
            FatalModelError("RuntimeError: CUDA error: gone [while running 'CaptionImage/x']"),
            "failed (FatalModelError: RuntimeError: CUDA error: gone) in the stage CaptionImage",
            "restart the machine",
        ),
        (MemoryError(), "failed (MemoryError: )", "smaller batches"),
        (
            OSError(28, "No space left on device", "/out/x.parquet"),
            "/out/x.parquet cannot be written, because no space is left on its device; put that right",
            "",
        ),
        (
            RuntimeError("Traceback (most recent call last):\nOSError: [Errno 30] Read-only file system: '/out/a'"),
            "/out/a cannot be written, because its file system is read-only; put that right",
            "",
        ),
        (RuntimeError("Traceback (most recent call last):\nKeyError: 1"), "failed (KeyError: 1)", ""),
    ],
)
def test_a_failure_in_a_sentence(error: Exception, told: str, advice: str) -> None:
    assert describe_failure(error) == told
    assert advice in advice_for(error)
    assert bool(advice_for(error)) is bool(advice)


def test_the_stage_is_the_one_that_raised() -> None:
    assert stage_of(ValueError("a [while running 'ReadShards/ReadUnits/ParDo(_Fn)']")) == "ReadShards"
    assert stage_of(ValueError("a")) == ""


def test_a_long_message_stays_a_paragraph() -> None:
    assert len(describe_failure(RuntimeError("x" * 100_000))) < 1000
