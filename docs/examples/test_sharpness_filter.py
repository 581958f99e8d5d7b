"""What a filter's test looks at: who passes, why the others do not, what is counted, and that nothing ends the run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from beam_recap.records import Sample
from docs.examples.sharpness_filter import SharpnessFilter, sharpness
from pipelines.notebook import collect

NOISE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
BLURRED = np.asarray(Image.fromarray(NOISE).filter(ImageFilter.GaussianBlur(8)))
PLAIN = np.full((200, 300, 3), 128, np.uint8)


def sample(index: int, image: np.ndarray | None) -> Sample:
    return Sample(unit="u", index=index, uid=f"uid{index}", key=f"{index}", image=image)


def test_sharpness_falls_with_blur() -> None:
    assert sharpness(PLAIN) == 0
    assert sharpness(NOISE) > 1000 > 10 > sharpness(BLURRED) > 0


def test_every_row_has_one_outcome_and_is_counted() -> None:
    pictures = [NOISE, BLURRED, None, PLAIN, NOISE]  # None: something that cannot be judged
    found = collect([sample(*numbered) for numbered in enumerate(pictures)], SharpnessFilter(100))
    assert [row.index for row in found.kept] == [0, 4]
    assert [(row.sample.index, row.stage, row.reason) for row in found.rejected] == [
        (1, "sharpness", "blurred"),
        (2, "sharpness", "model_error"),
        (3, "sharpness", "blurred"),
    ]
    assert found.rejected[2].detail == "0.0 is not above 100"
    counted = {name.removeprefix("SharpnessFilter."): count for name, count in found.counters.items()}
    assert counted == {
        "rows_in": 5,
        "rows_kept": 2,
        "rows_rejected": 3,
        "rejected_blurred": 2,
        "rejected_model_error": 1,
    }


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_threshold_that_cannot_be_one_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        SharpnessFilter(value)
